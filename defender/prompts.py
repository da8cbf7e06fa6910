"""A prompt from a file: the text that ships, and where the identity sentence goes in it."""

from __future__ import annotations

from pathlib import Path

from defender.errors import ConfigError
from defender.records import Candidate

IDENTITY_SLOT = "{identity}"


def read_prompt(path: Path) -> Candidate:
    """Read a prompt file: the system text, with ``{identity}`` once where the identity sentence goes (else at its end).

    One newline at the end of the file is not part of the prompt, nor is a byte order mark.

    Raises:
        ConfigError: missing, empty, not UTF-8, or ``{identity}`` is there more than once.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"no prompt file {path}; give the path of a text file with the system prompt") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read prompt {path}: {error}") from error
    before, *rest = text.removesuffix("\n").removesuffix("\r").split(IDENTITY_SLOT)
    if len(rest) > 1:
        raise ConfigError(f"{path}: '{IDENTITY_SLOT}' is there {len(rest)} times; the identity sentence has one place")
    after = rest[0] if rest else ""
    if not (before + after).strip():
        raise ConfigError(f"{path}: the prompt is empty; write the system prompt into it")
    # A lone blank beside the place comes back when the parts are joined, and is not doubled where nobody is named.
    if before.endswith(" ") and not before[:-1][-1:].isspace():
        before = before[:-1]
    if after.startswith(" ") and not after[1:2].isspace():
        after = after[1:]
    return Candidate(before, after, "system", path.stem, "file")
