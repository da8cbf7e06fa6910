"""Prompty: a ``.prompty`` file, front matter and a Jinja body (https://prompty.ai, version 2)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from defender.exporters.jinja import from_sources, sources
from defender.exporters.payload import file_stem, placed
from defender.exporters.slot import cannot_carry, first_match
from defender.exporters.stamp import commented, served, stamp_lines
from defender.exporters.yaml_text import to_flow
from defender.records import Candidate, Export

_ROLE = re.compile(
    r"^[^\S\n]*(?:#[^\S\n]*)?(?:assistant|developer|system|user)[^\S\n]*(?:\[.*\][^\S\n]*)?:[^\S\n]*$",
    re.IGNORECASE | re.MULTILINE,
)
_LINE_END = re.compile(r"[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_SYSTEM, _BETWEEN = "system:\n", "\n\nuser:\n"
_OUTER_LINE = re.compile(r"\A\n|\n\Z")


class PromptyExporter:
    """Writes ``<name>.prompty`` with the inputs ``identity`` (may be left out) and ``question``.

    The rendered text is split into messages line by line, after rendering. So no escape carries a line that is a
    role and a colon alone, a line end other than a line feed, or one at either end: such a prompt is refused.
    """

    format = "prompty"

    def write(self, candidate: Candidate, provenance: Mapping[str, object], into: Path) -> Sequence[Export]:
        """Write the file. Raises StoreError, ConfigError (also for a text that Prompty would change)."""
        if (changed := _changed(candidate)) is not None:
            raise cannot_carry("prompty", *changed)
        name = f"{file_stem(candidate)}.prompty"
        how = f"prompty.prepare(prompty.load({name!r}), {{'identity': sentence or '', 'question': question}})"
        front = {
            "name": file_stem(candidate),
            "model": {"id": served(provenance).model, "provider": "openai", "apiType": "chat"},
            "inputs": {
                "identity": {"kind": "string", "default": ""},
                "question": {"kind": "string", "required": True},
            },
            "template": {"format": {"kind": "jinja2", "strict": True}, "parser": {"kind": "prompty"}},
        }
        # The front matter ends at the first three dashes or pluses, wherever they are.
        comments = commented(stamp_lines(candidate, provenance, how))
        comments = comments.replace("---", "\\u002d" * 3).replace("+++", "\\u002b" * 3)
        header = comments + "".join(f"{key}: {to_flow(value)}\n" for key, value in front.items())
        text = f"---\n{header}---\n{_body(*sources(candidate))}"
        return [placed(into / name, text, candidate.template, self.format)]


def from_body(body: str) -> Candidate:
    """Return the candidate, without a name, of which a ``.prompty`` file has this body behind its front matter.

    Raises:
        ValueError: no candidate has it, or not one that Prompty sends as it is.
    """
    system, between, user = body.removeprefix(_SYSTEM).removesuffix("\n").rpartition(_BETWEEN)
    if not between or _body(system, user) != body:
        raise ValueError("its messages are not system and user as an export writes them")
    found = from_sources(system, user)
    if (changed := _changed(found)) is not None:
        raise ValueError(f"in it {changed[0]!a} {changed[1]}")
    return found


def _body(system: str, user: str) -> str:
    return f"{_SYSTEM}{system}{_BETWEEN}{user}\n"


def _changed(candidate: Candidate) -> tuple[str, str] | None:
    """Return the first piece of the text that Prompty would change, and what becomes of it."""
    for pattern, why in (
        (_LINE_END, "becomes a line feed"),
        (_OUTER_LINE, "at an end is cut off"),
        (_ROLE, "alone on a line begins another message"),
    ):
        if (piece := first_match(pattern, candidate)) is not None:
            return piece, why
    return None
