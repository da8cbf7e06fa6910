"""Jinja source for a prompt, in the common ground of Jinja2 and Nunjucks."""

from __future__ import annotations

import ast
import re

from defender.exporters.slot import slot
from defender.records import Candidate

_OPENS = re.compile(r"\{(?=[{%#\r]|\n?\Z)|#(?=\})|\r|\A\n|\n\Z")
"""What begins a tag (also together with what follows it), ends a comment, or is a line end that may be lost."""

_SAID = re.compile(r"\{\{ '(\\[nrt]|.)' \}\}")
_TOLD = re.compile(r"\{% if identity %\} ?\{\{ identity \}\} ?(?:\{% else %\} )?\{% endif %\}")

_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_SIGNS = {name: sign for sign, name in _NAMED.items()}

_USER = "{% if identity %}{{ identity }} {% endif %}{{ question }}"


def escaped(text: str) -> str:
    """Return source that renders to ``text``; text without braces stays as it is.

    A carriage return, and a line end at either end, become expressions: Jinja turns the first into a line feed and
    drops the last.
    """
    return _OPENS.sub(lambda found: "{{ '" + _NAMED.get(found.group(), found.group()) + "' }}", text)


def sources(candidate: Candidate) -> tuple[str, str]:
    """Return the sources of system and user message.

    They read the variables ``question`` and ``identity``, which is "" or absent where nothing is known.
    """
    cut = slot(candidate)
    if cut is None:
        return escaped(candidate.system("")), _USER
    unknown = "{% else %}" + cut.bare if cut.bare else ""
    told = "{% if identity %}" + cut.left + "{{ identity }}" + cut.right + unknown + "{% endif %}"
    return escaped(cut.before) + told + escaped(cut.after), "{{ question }}"


def from_sources(system: str, user: str) -> Candidate:
    """Return the candidate whose ``sources`` these are, without a name; texts that no place parts come as one.

    Raises:
        ValueError: no candidate has these sources, so what a renderer makes of them is not known from them.
    """
    if user == _USER:
        found = Candidate(_unescaped(system), seat="user")
    else:
        before, *after = _TOLD.split(system)
        found = Candidate(_unescaped(before), _unescaped("".join(after)))
    if sources(found) != (system, user):
        raise ValueError("its Jinja is not the one an export writes")
    return found


def _unescaped(source: str) -> str:
    """Undo ``escaped``; whether the source was its work, the caller finds out by doing it again."""
    return _SAID.sub(lambda found: _SIGNS.get(found.group(1), found.group(1)), source)


def literal(text: str) -> str:
    """Return a Jinja string literal for ``text`` in printable ASCII, free of braces and double quotes inside."""
    return '"' + "".join(_escape(sign) for sign in text) + '"'


def from_literal(source: str) -> str:
    """Return the text of a literal that ``literal`` wrote. Raises ValueError: it is none."""
    try:
        return str(ast.literal_eval(source))
    except SyntaxError as error:
        raise ValueError(f"a text in it is broken: {error.msg}") from None


def _escape(sign: str) -> str:
    if sign in _NAMED:
        return _NAMED[sign]
    if sign.isascii() and sign.isprintable() and sign not in '"\\{}':
        return sign
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
