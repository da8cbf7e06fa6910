"""Dotprompt: a ``.prompt`` file, front matter and a Handlebars body (https://google.github.io/dotprompt)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from defender.exporters.payload import file_stem, placed
from defender.exporters.slot import cannot_carry, first_match, slot
from defender.exporters.stamp import commented, served, stamp_lines
from defender.exporters.yaml_text import to_flow
from defender.records import Candidate, Export

_MARKER = re.compile("<<<dotprompt:")
_UNSAYABLE = re.compile("[\0\r]")
_SPECIAL = re.compile(r"\A\}+|\\+(?=\{\{|\{?\Z)|\{(?=\{|\Z)")
"""What would end the tag in front, would escape the tag behind, or begins one. Behind every text comes a tag."""

_QUESTION = "{{question}}"


class DotpromptExporter:
    """Writes ``<name>.prompt`` with the inputs ``identity`` (may be left out) and ``question``.

    Handlebars escapes a tag with a backslash, but not all implementations read that alike: a brace that would begin
    or end a tag is said by one, ``{{#with "{"}}{{this}}{{/with}}``. Refused are the text of a marker
    (``<<<dotprompt:``), which is read after rendering, and carriage returns and NULs, which a template cannot hold.
    """

    format = "dotprompt"

    def write(self, candidate: Candidate, provenance: Mapping[str, object], into: Path) -> Sequence[Export]:
        """Write the file. Raises StoreError, ConfigError (also for a text that Dotprompt would change)."""
        for pattern, why in (
            (_MARKER, "is Dotprompt's own mark for roles and media"),
            (_UNSAYABLE, "is lost or refused when a Handlebars template is read"),
        ):
            if (piece := first_match(pattern, candidate)) is not None:
                raise cannot_carry("dotprompt", piece, why)
        system, user = _bodies(candidate)
        front = {
            "model": served(provenance).model,
            "input": {"schema": {"identity?": "string", "question": "string"}},
        }
        name = f"{file_stem(candidate)}.prompt"
        how = "Dotprompt().render(Path(file).read_text(encoding='utf-8'), DataArgument(input={identity, question}))"
        header = commented(stamp_lines(candidate, provenance, how))
        lines = "".join(f"{key}: {to_flow(value)}\n" for key, value in front.items())
        body = '{{role "system"}}' + system + '{{role "user"}}' + user
        return [placed(into / name, f"---\n{header}{lines}---\n{body}\n", candidate.template, self.format)]


def _bodies(candidate: Candidate) -> tuple[str, str]:
    cut = slot(candidate)
    if cut is None:
        return _escaped(candidate.system("")), "{{#if identity}}{{identity}} {{/if}}" + _QUESTION
    unknown = "{{else}}" + cut.bare if cut.bare else ""
    told = "{{#if identity}}" + cut.left + "{{identity}}" + cut.right + unknown + "{{/if}}"
    return _escaped(cut.before) + told + _escaped(cut.after), _QUESTION


def _escaped(text: str) -> str:
    return _SPECIAL.sub(_said, text)


def _said(found: re.Match[str]) -> str:
    signs = found.group()
    return (
        signs + "\\"
        if signs[0] == "\\"
        else "".join(f'{{{{#with "{sign}"}}}}{{{{this}}}}{{{{/with}}}}' for sign in signs)
    )
