"""Programs that try to use up the machine. Run with small limits, so that each ends soon."""

from __future__ import annotations

FLOODS = {
    "fork without end": "import os\ndef solve(n):\n    while True: os.fork()",
    "start threads without end": (
        "import threading, time\ndef solve(n):\n    threading.stack_size(32768)\n    while True:\n"
        "        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    ),
    "allocate without end": "def solve(n):\n    kept = []\n    while True: kept.append(bytearray(1 << 24))",
    "allocate at once": "def solve(n):\n    return len(bytearray(1 << 40))",
    "grow an integer": "def solve(n):\n    n = 3\n    while True: n = n * n",
    "loop without end": "while True: pass",
    "loop without end in C": "def solve(n):\n    return sum(iter(int, 1))",
    "loop deaf to signals": (
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except Exception: pass\n"
        "def solve(n):\n    while True: pass"
    ),
    "sleep without end": "import time\ndef solve(n):\n    time.sleep(10**6)",
    "wait for a thread that waits for it": (
        "import threading\nlock = threading.Lock()\nlock.acquire()\ndef solve(n):\n    lock.acquire()"
    ),
    "print without end": "def solve(n):\n    while True: print('x' * 10**6)",
    "print errors without end": "import sys\ndef solve(n):\n    while True: print('x' * 10**6, file=sys.stderr)",
    "fill the temp folder": (
        "import os\ndef solve(n):\n    for k in range(10**9):\n"
        "        for folder in ('/tmp', '/dev/shm', '/var/tmp', '.'):\n"
        "            with open(f'{folder}/flood{k}', 'wb') as f: f.write(b'x' * 10**8)"
    ),
    "fill memory files": (
        "import os\n"
        "def solve(n):\n    while True:\n        fd = os.memfd_create('x')\n        os.write(fd, b'x' * 10**7)"
    ),
    "open files without end": "import os\ndef solve(n):\n    while True: os.open('/dev/null', os.O_RDONLY)",
    "fill pipes": "import os\ndef solve(n):\n    while True:\n        r, w = os.pipe()\n        os.set_blocking(w, 0)\n"
    "        os.write(w, b'x' * 10**7)",
    "recurse without end": "import sys\nsys.setrecursionlimit(10**9)\ndef solve(n):\n    return solve(n)",
    "return an endless value": "def solve(n):\n    value = []\n    value.append(value)\n    return value",
    "return a huge value": "def solve(n):\n    return 'x' * (1 << 28)",
    "return a deep value": "def solve(n):\n    v = []\n    for _ in range(10**5): v = [v]\n    return v",
    "flood the channel": "import os\ndef solve(n):\n    while True:\n        for fd in range(3, 64):\n"
    "            try: os.write(fd, b'00000002{}')\n            except OSError: pass",
    "an exception with a huge name": "def solve(n):\n    raise type('x' * 10**7, (Exception,), {})",
    "busy threads": (
        "import threading\ndef spin():\n    while True: pass\ndef solve(n):\n    for _ in range(8):\n"
        "        threading.Thread(target=spin, daemon=True).start()\n    spin()"
    ),
}
