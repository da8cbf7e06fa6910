"""A writer that writes nothing new: it draws from a file of clauses, for comparisons and for people's own ideas."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from defender.admission import tidy
from defender.errors import ConfigError
from defender.evidence import Clause, Draft, Evidence


class ScriptedWriter:
    """Implements ``ClauseWriter``: the next clauses of a pool, in its order, whatever the evidence says.

    What was said or refused before is passed over, so a writer made anew goes on where the last one stopped.
    """

    def __init__(self, pool: Iterable[str]) -> None:
        self._pool = tuple(dict.fromkeys(pool))

    async def write(self, evidence: Evidence) -> Draft:
        """Return the next ``evidence.wanted`` clauses of the pool; fewer at its end."""
        known = {*evidence.said, *(text for text, _ in evidence.refused)}
        coming = [text for text in self._pool if tidy(text) not in known][: evidence.wanted]
        return Draft(tuple(Clause(text, "from the pool") for text in coming), "" if coming else "the pool is empty")


def read_pool(path: Path) -> tuple[str, ...]:
    """Read a pool: one clause a line; empty lines and lines that begin with # are left out.

    Raises:
        ConfigError: no such file, not UTF-8, or no clause in it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise ConfigError(f"no clause pool {path}; give a text file with one clause a line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the clause pool {path}: {error}") from error
    clauses = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not clauses:
        raise ConfigError(f"the clause pool {path} is empty; write one clause a line into it")
    return clauses
