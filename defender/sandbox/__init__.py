"""The sandbox runs programs a model wrote and says whether they pass their tests; the only room that does.

One program, one fresh interpreter, split in two processes: the program's, which sees no test and no secret, and the
tests', in which no line of the program runs. The program's process returns values; the tests' process compares them.
So to pass is to return the right values, and nothing else helps: not leaving early, not patching asserts, not objects
that claim to equal everything, not a stolen nonce. What is left to a dishonest program is to know the tests, which the
prompt shows, and to return their answers by heart; no sandbox can tell that from solving them.

What keeps the program in (Linux 5.13 or later, x86_64 and aarch64; no root, no container):

- Landlock: it reads the standard library, system libraries and time zones, and writes nothing at all.
- seccomp, an allow-list: no sockets, no new processes, no program files, no signals to or tracing of others.
- limits on CPU, memory, threads, open files and file size; a wall clock; no environment; no standard streams.
- started by root, a user id of its own; a user and an IPC namespace where those are allowed.

What it can still do: learn by name whether a file exists and how large it is, read system libraries, use its time and
memory. A hole in the kernel is outside what this can close; `Bubblewrap` or a container (`External`) adds a layer.
"""
