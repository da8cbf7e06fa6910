"""The inner modules as one package of bytes, so that the child needs to read no file of ours to start."""

from __future__ import annotations

import marshal
from pathlib import Path

MODULES = ("channel", "values", "runner", "checker", "kernel", "calls", "filter", "walls", "main")
"""In the order in which they can be executed."""

HOME = "defender.sandbox.inside"

BOOT = f"""
import marshal, os, sys
def take(size):
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            os._exit(3)
        data += piece
    return data
sys.path[:] = [path for path in sys.path if path]
sizes = take(16)
modules = marshal.loads(take(int(sizes[:8], 16)))
config = take(int(sizes[8:], 16))
for name in ("defender", "defender.sandbox", "{HOME}"):
    sys.modules[name] = type(sys)(name)
    sys.modules[name].__path__ = []
for name, code in modules:
    module = sys.modules["{HOME}." + name] = type(sys)("{HOME}." + name)
    exec(code, module.__dict__)
sys.modules["{HOME}.main"].main(config)
"""
"""What the child's command line holds; the rest comes over standard input: sizes, modules, configuration, job."""


def bundle(*, compiled: bool) -> bytes:
    """Return the inner modules.

    Args:
        compiled: as byte code, which only this very interpreter can run, and which starts faster than source.
    """
    folder = Path(__file__).with_name("inside")
    parts = []
    for name in MODULES:
        source = (folder / f"{name}.py").read_text(encoding="utf-8")
        code = compile(source, f"<sandbox {name}>", "exec", dont_inherit=True) if compiled else source
        parts.append((name, code))
    return marshal.dumps(parts) if compiled else marshal.dumps(parts, 2)
