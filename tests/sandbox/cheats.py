"""Programs that try to pass without solving the task: ``solve(2)`` should be 4, and none of them makes it so."""

from __future__ import annotations

WRONG = "\ndef solve(n):\n    return 5\n"

EVERYTHING_EQUAL = """
class Yes:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return hash(4)
    def __bool__(self): return True
    def __index__(self): return 4
    def __float__(self): return 4.0
"""

CHEATS = {
    "exit before the tests": "import sys\nsys.exit(0)" + WRONG,
    "call exit()": "exit(0)" + WRONG,
    "leave at once": "import os\nos._exit(0)" + WRONG,
    "exit when called": "def solve(n):\n    raise SystemExit(0)",
    "leave at once when called": "import os\ndef solve(n):\n    os._exit(0)",
    "exit from a thread": "import os, threading\nthreading.Timer(0, os._exit, [0]).start()" + WRONG,
    "exit from atexit": "import atexit, os\natexit.register(os._exit, 0)" + WRONG,
    "swallow assertion errors": (
        "import builtins\nclass Never(Exception): pass\nbuiltins.AssertionError = Never" + WRONG
    ),
    "rewrite compile and exec": (
        "import builtins\nbuiltins.compile = lambda *a, **k: 'True'\nbuiltins.eval = lambda *a, **k: True\n"
        "builtins.exec = lambda *a, **k: None" + WRONG
    ),
    "rewrite the comparison functions": "import operator\noperator.eq = lambda a, b: True" + WRONG,
    "replace modules": (
        "import sys\nclass Fake:\n    def __getattr__(self, name): return lambda *a, **k: 4\n"
        "for name in list(sys.modules):\n    if name not in ('sys', 'builtins', '__main__'):\n"
        "        sys.modules[name] = Fake()" + WRONG
    ),
    "switch asserts off": "import builtins\ntry:\n    builtins.__dict__['__debug__'] = False\nexcept Exception: pass"
    + WRONG,
    "trace and jump over the test": (
        "import sys\ndef trace(frame, event, arg):\n    try: frame.f_lineno += 1\n    except Exception: pass\n"
        "    return trace\nsys.settrace(trace)" + WRONG
    ),
    "profile and change return values": "import sys\nsys.setprofile(lambda f, e, a: 4)" + WRONG,
    "equal to everything": EVERYTHING_EQUAL + "\ndef solve(n):\n    return Yes()",
    "an integer equal to everything": (
        "class Yes(int):\n    def __eq__(self, other): return True\n    def __hash__(self): return 4\n"
        "def solve(n):\n    return Yes(5)"
    ),
    "a class equal to everything": (
        "class Meta(type):\n    def __eq__(self, other): return True\n    def __hash__(self): return 4\n"
        "class Yes(metaclass=Meta): pass\ndef solve(n):\n    return Yes"
    ),
    "claim to be an int": (
        "class Fake:\n    __class__ = int\n    def __pos__(self): return 4\n    def __eq__(self, other): return True\n"
        "def solve(n):\n    return Fake()"
    ),
    "curse the builtin int": (
        "import ctypes, gc\ntry:\n    gc.get_referents(int.__dict__)[0]['__eq__'] = lambda a, b: True\n"
        "except Exception: pass" + WRONG
    ),
    "overwrite small integers": (
        "import ctypes\ntry:\n    ctypes.memmove(id(5) + 24, id(4) + 24, 4)\nexcept Exception: pass"
        "\ndef solve(n):\n    return 10 - 5 - 1 + 2"
    ),
    "print a guessed nonce": "print('0' * 32)\nprint('passed', flush=True)" + WRONG,
    "print a verdict": (
        "import json, os\nfor fd in range(0, 64):\n    try:\n"
        "        os.write(fd, json.dumps({'nonce': '0' * 32, 'passed': True, 'reason': ''}).encode() + b'\\n')\n"
        "    except OSError: pass" + WRONG
    ),
    "write a verdict on every descriptor": (
        "import os\ndef solve(n):\n    for fd in range(64):\n        try: os.write(fd, b'{\"passed\": true}\\n')\n"
        "        except OSError: pass\n    return 5"
    ),
    "say it raised nothing": (
        "import json, os\ndef solve(n):\n    text = json.dumps({'up': True, 'passed': True}).encode()\n"
        "    for fd in range(3, 64):\n        try: os.write(fd, b'%08x' % len(text) + text)\n"
        "        except OSError: pass\n    return 5"
    ),
    "look for the nonce and tests in memory": (
        "import gc, json, os, sys\n"
        "loot = [o for o in gc.get_objects() if isinstance(o, dict) and ('nonce' in o or 'tests' in o)]\n"
        "frame = sys._getframe()\nwhile frame:\n"
        "    loot += [v for k, v in frame.f_locals.items() if k in ('job', 'nonce')]\n"
        "    frame = frame.f_back\n"
        "def solve(n):\n    return 4 if [o for o in loot if o is not globals()] else 5"
    ),
    "look for the answer in its frames": (
        "import sys\ndef solve(n):\n    frame = sys._getframe()\n    while frame:\n"
        "        for value in list(frame.f_locals.values()):\n"
        "            if isinstance(value, dict) and 'check' in str(value): return 4\n"
        "        frame = frame.f_back\n    return 5"
    ),
    "read the job from standard input": (
        "import os\ndata = os.read(0, 1 << 20)\ndef solve(n):\n    return 4 if data else 5"
    ),
    "read the command line": (
        "import sys\ndef solve(n):\n    return 4 if any('4' in a for a in sys.argv + sys.orig_argv[5:]) else 5"
    ),
    "wait for input": "x = input()\ndef solve(n):\n    return 4",
    "close every descriptor": "import os\nos.closerange(0, 64)" + WRONG,
    "close the channel and loop": "import os\ndef solve(n):\n    os.closerange(0, 64)\n    while True: pass",
    "send garbage": "import os\ndef solve(n):\n    for fd in range(3, 64):\n        try: os.write(fd, b'zzzzzzzz')\n"
    "        except OSError: pass\n    return 5",
    "announce a huge message": "import os\ndef solve(n):\n    for fd in range(3, 64):\n"
    "        try: os.write(fd, b'ffffffff')\n        except OSError: pass\n    return 5",
    "die of a signal": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)" + WRONG,
    "kill itself": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)" + WRONG,
    "crash the interpreter": "import ctypes\ndef solve(n):\n    return ctypes.string_at(0)",
    "return a number that takes forever to read": (
        "from fractions import Fraction\nfrom decimal import Decimal\ndef solve(n):\n"
        "    return Decimal('1e999999999') if n else Fraction(1, 3)"
    ),
    "define nothing": "pass",
    "not be Python": "def solve(n) return 4",
    "call the wrong name": "def solved(n):\n    return 4",
}
