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

_SAID = re.compile(r'\\+(?=\{\{|\Z)|\{\{#with "([{}])"\}\}\{\{this\}\}\{\{/with\}\}')
_TOLD = re.compile(r"\{\{#if identity\}\} ?\{\{identity\}\} ?(?:\{\{else\}\} )?\{\{/if\}\}")

_SYSTEM, _USER = '{{role "system"}}', '{{role "user"}}'
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
        front = {
            "model": served(provenance).model,
            "input": {"schema": {"identity?": "string", "question": "string"}},
        }
        name = f"{file_stem(candidate)}.prompt"
        how = "Dotprompt().render(Path(file).read_text(encoding='utf-8'), DataArgument(input={identity, question}))"
        header = commented(stamp_lines(candidate, provenance, how))
        lines = "".join(f"{key}: {to_flow(value)}\n" for key, value in front.items())
        text = f"---\n{header}{lines}---\n{_body(candidate)}"
        return [placed(into / name, text, candidate.template, self.format)]


def from_body(body: str) -> Candidate:
    """Return the candidate, without a name, of which a ``.prompt`` file has this body behind its front matter.

    Raises:
        ValueError: no candidate has it, so what Dotprompt makes of it is not known from it.
    """
    system, _, user = body.removeprefix(_SYSTEM).removesuffix("\n").partition(_USER)
    if user == _QUESTION:
        before, *after = _TOLD.split(system)
        found = Candidate(_unescaped(before), _unescaped("".join(after)))
    else:
        found = Candidate(_unescaped(system), seat="user")
    if _body(found) != body:
        raise ValueError("its Handlebars is not the one an export writes")
    return found


def _body(candidate: Candidate) -> str:
    system, user = _bodies(candidate)
    return f"{_SYSTEM}{system}{_USER}{user}\n"


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


def _unescaped(source: str) -> str:
    return _SAID.sub(lambda found: found.group(1) or found.group()[:-1], source)
