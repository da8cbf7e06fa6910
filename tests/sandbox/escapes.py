"""Programs that try to reach out of the sandbox. Each ``attempt`` returns true when it got what it wanted.

``$tcp``, ``$udp`` (ports on 127.0.0.1), ``$socket`` (path), ``$abstract`` (name) have a listener; ``$secret`` is a file
any user may read and ``$open`` a folder any user may write; ``$parent`` is the process that grades.
"""

from __future__ import annotations

ENDING = """
def solve(n):
    try:
        return 4 if attempt() else 5
    except BaseException:
        return 5
"""

LIBC = """
import ctypes, os, platform
libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
def call(x86, arm, *rest):
    return libc.syscall(ctypes.c_long(x86 if X86 else arm), *rest)
"""

NETWORK = {
    "connect over TCP": "import socket\ndef attempt():\n return socket.create_connection(('127.0.0.1', $tcp), 2)",
    "send over UDP": (
        "import socket\ndef attempt():\n s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        " return s.sendto(b'leak', ('127.0.0.1', $udp))"
    ),
    "connect to a unix socket": (
        "import socket\ndef attempt():\n s = socket.socket(socket.AF_UNIX)\n s.connect('$socket')\n return True"
    ),
    "connect to an abstract socket": (
        "import socket\ndef attempt():\n s = socket.socket(socket.AF_UNIX)\n s.connect('\\0$abstract')\n return True"
    ),
    "send from a socket pair to an address": (
        "import socket\ndef attempt():\n a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        " return a.sendto(b'leak', '$socket.dgram')"
    ),
    "listen on a port": (
        "import socket\ndef attempt():\n s = socket.socket()\n s.bind(('127.0.0.1', 0))\n s.listen()\n return True"
    ),
    "resolve a name": "import socket\ndef attempt():\n return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
}

FILES = {
    "read a file outside": "def attempt():\n return open('$secret').read()",
    "read the accounts": "def attempt():\n return open('/etc/passwd').read()",
    "list the home folders": "import os\ndef attempt():\n return os.listdir('/root') or os.listdir('/home')",
    "list the root folder": "import os\ndef attempt():\n return os.listdir('/')",
    "list the processes": "import os\ndef attempt():\n return os.listdir('/proc')",
    "read the parent's environment": "def attempt():\n return open('/proc/$parent/environ', 'rb').read()",
    "read the tests' process": (
        "import os\ndef attempt():\n return open(f'/proc/{os.getppid()}/environ', 'rb').read() is not None"
    ),
    "read the tests' command line": "import os\ndef attempt():\n return open(f'/proc/{os.getppid()}/cmdline').read()",
    "open the tests' memory": "import os\ndef attempt():\n return os.open(f'/proc/{os.getppid()}/mem', os.O_RDWR)",
    "open the tests' descriptors": "import os\ndef attempt():\n return os.listdir(f'/proc/{os.getppid()}/fd')",
    "read its own memory map": "def attempt():\n return open('/proc/self/maps').read()",
    "find a secret in its environment": (
        "import os\ndef attempt():\n return any('secret' in v for v in os.environ.values())"
    ),
    "write outside": "def attempt():\n open('$open/planted', 'w').close()\n return True",
    "write to the temp folder": "import tempfile\ndef attempt():\n return tempfile.TemporaryFile().write(b'x')",
    "write beside itself": "def attempt():\n return open('planted', 'w').write('x')",
    "make a folder": "import os\ndef attempt():\n os.mkdir('$open/folder')\n return True",
    "make a symbolic link": "import os\ndef attempt():\n os.symlink('$secret', '$open/link')\n return True",
    "make a hard link": "import os\ndef attempt():\n os.link('$secret', '$open/hard')\n return True",
    "follow a symbolic link": "def attempt():\n return open('$open/link_to_secret').read()",
    "walk up from a descriptor": (
        "import os\ndef attempt():\n"
        " fd = os.open('/usr/lib', os.O_RDONLY)\n return os.open('../../etc/passwd', os.O_RDONLY, dir_fd=fd)"
    ),
    "delete a file": "import os\ndef attempt():\n os.remove('$open/precious')\n return True",
    "truncate a file": "import os\ndef attempt():\n os.truncate('$open/precious', 0)\n return True",
    "change a file's mode": "import os\ndef attempt():\n os.chmod('$open/precious', 0o777)\n return True",
    "use an inherited descriptor": (
        "import os\ndef attempt():\n found = []\n for fd in range(3, 64):\n"
        "  try: os.fstat(fd)\n  except OSError: continue\n  found.append(os.readlink(f'/proc/self/fd/{fd}'))\n"
        " return [f for f in found if not f.startswith('pipe:') and '/lib' not in f]"
    ),
}

PROCESSES = {
    "kill the parent": "import os\ndef attempt():\n os.kill($parent, 9)\n return True",
    "kill the tests' process": "import os\ndef attempt():\n os.kill(os.getppid(), 9)\n return True",
    "kill everything": "import os\ndef attempt():\n os.kill(-1, 9)\n return True",
    "kill its group": "import os\ndef attempt():\n os.killpg(0, 9)\n return True",
    "fork": "import os\ndef attempt():\n pid = os.fork()\n return os._exit(0) if pid == 0 else True",
    "fork twice into a session of its own": (
        "import os, time\ndef attempt():\n"
        " if os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n   time.sleep(60)\n  os._exit(0)\n"
        " return True"
    ),
    "leave the session": "import os\ndef attempt():\n os.setsid()\n return True",
    "leave the group": "import os\ndef attempt():\n os.setpgid(0, 0)\n return True",
    "run a program": "import subprocess\ndef attempt():\n return subprocess.run(['/bin/true']).returncode == 0",
    "run a shell": "import os\ndef attempt():\n return os.system('true') == 0",
    "replace itself": "import os\ndef attempt():\n os.execv('/bin/true', ['true'])",
    "use a process pool": "import multiprocessing\ndef attempt():\n return multiprocessing.Pool(1).map(abs, [-1])",
    "raise its limits": (
        "import resource\ndef attempt():\n resource.setrlimit(resource.RLIMIT_CPU, (10**6, 10**6))\n return True"
    ),
    "outlive its parent": LIBC + "def attempt():\n return libc.prctl(1, 0, 0, 0, 0) == 0",
}

KERNEL = {
    "trace the tests' process": LIBC + "def attempt():\n return call(101, 117, 16, os.getppid(), 0, 0) == 0",
    "read the tests' memory": LIBC
    + (
        "def attempt():\n buffer = ctypes.create_string_buffer(8)\n"
        " class V(ctypes.Structure): _fields_ = [('b', ctypes.c_void_p), ('n', ctypes.c_size_t)]\n"
        " here = V(ctypes.addressof(buffer), 8)\n there = V(ctypes.addressof(buffer), 8)\n"
        " return call(310, 270, os.getppid(), ctypes.byref(here), 1, ctypes.byref(there), 1, 0) > 0"
    ),
    "write the tests' memory": LIBC
    + (
        "def attempt():\n buffer = ctypes.create_string_buffer(8)\n"
        " class V(ctypes.Structure): _fields_ = [('b', ctypes.c_void_p), ('n', ctypes.c_size_t)]\n"
        " here = V(ctypes.addressof(buffer), 8)\n there = V(ctypes.addressof(buffer), 8)\n"
        " return call(311, 271, os.getppid(), ctypes.byref(here), 1, ctypes.byref(there), 1, 0) > 0"
    ),
    "run code from memory": LIBC
    + (
        "def attempt():\n fd = call(319, 279, b'x', 0)\n if fd < 0: return False\n"
        " os.write(fd, b'#!/bin/true')\n os.execv(f'/proc/self/fd/{fd}', ['x'])"
    ),
    "set up io_uring": LIBC + ("def attempt():\n return call(425, 425, 8, ctypes.create_string_buffer(120)) >= 0"),
    "make a user namespace": LIBC + "def attempt():\n return call(272, 97, 0x10000000) == 0",
    "take the tests' descriptors": LIBC
    + ("def attempt():\n fd = call(434, 434, os.getppid(), 0)\n return fd >= 0 and call(438, 438, fd, 1, 0) >= 0"),
    "clone with a new process": LIBC + "def attempt():\n pid = call(56, 220, 17, 0, 0, 0, 0)\n"
    " return os._exit(0) if pid == 0 else pid > 0",
    "make shared memory": LIBC + "def attempt():\n return call(29, 194, 0, 4096, 0o1600) >= 0",
    "use the keyring": LIBC + "def attempt():\n return call(248, 217, b'user', b'k', b'v', 1, -2) > 0",
    "load a filter program": LIBC
    + "def attempt():\n return call(321, 280, 0, ctypes.create_string_buffer(120), 120) >= 0",
    "call with 32-bit numbers": LIBC + ("def attempt():\n return X86 and call(0x40000000 | 41, -1, 2, 1, 0) >= 0"),
    "signal through a descriptor's owner": (
        "import fcntl, os\ndef attempt():\n r, w = os.pipe()\n fcntl.fcntl(r, 8, os.getppid())\n return True"
    ),
    "queue a signal": LIBC + "def attempt():\n"
    " info = (ctypes.c_int * 32)(9, 0, -1)\n return call(129, 138, os.getppid(), 9, info) == 0",
}

ESCAPES = {name: body + "\n" + ENDING for group in (NETWORK, FILES, PROCESSES, KERNEL) for name, body in group.items()}
