"""Plain text: the system prompt and nothing else, to paste or to read from a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from defender.exporters.payload import IDENTITY, QUESTION, file_stem, placed
from defender.records import Candidate, Export


class TextExporter:
    """Writes ``<name>.txt``, the system template byte for byte, and one companion.

    Where the identity sentence sits in the system text, the template shows its place as ``{identity}`` and
    ``<name>.without-identity.txt`` is the same text for a user nothing is known about. Where it sits in the user
    turn, the template has no placeholder and ``<name>.user.txt`` shows that turn. Plain text has no place for
    provenance.
    """

    format = "text"

    def write(
        self,
        candidate: Candidate,
        provenance: Mapping[str, object],  # noqa: ARG002 - the contract's, and plain text has no place for it
        into: Path,
    ) -> Sequence[Export]:
        """Write the files; each one's sha256 is that of its own bytes. Raises StoreError, ConfigError."""
        if candidate.seat == "system":
            other, text = "without-identity", candidate.system("")
        else:
            other, text = "user", candidate.user(IDENTITY, QUESTION)
        stem = file_stem(candidate)
        files = {f"{stem}.txt": candidate.template, f"{stem}.{other}.txt": text}
        return [placed(into / name, text, text, self.format) for name, text in files.items()]
