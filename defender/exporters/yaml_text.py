"""YAML that every reader reads alike: texts as literal blocks where they can be, quoted where they could mean more."""

from __future__ import annotations

import json
import re

import yaml

LONG = 60
"""Sentences longer than this, and texts with a line end, are written as literal blocks where YAML can carry them so."""

_NOT_LITERAL = re.compile(r"[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What a literal block would change or refuse: tabs, controls, and all that is a line end to YAML but not \\n."""

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*[\w/](?: [\w./-]+)*", re.ASCII)
"""What no version of YAML takes for a number, a truth or a sign of its own, where PyYAML leaves it unquoted too."""


def to_yaml(document: object) -> str:
    """Return a document as block YAML, keys in their order; ``yaml.safe_load`` gives it back exactly."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"))


def to_flow(value: object) -> str:
    """Return plain data as one line of ASCII, JSON in YAML's own escapes, without a run of three dashes or pluses.

    For front matter, whose end is looked for as three dashes (or pluses) by readers that do not parse YAML.
    """
    line = json.dumps(value, ensure_ascii=False)
    line = re.sub(r"[^\x20-\x7e]", lambda found: f"\\U{ord(found.group()):08x}", line)
    return line.replace("---", "\\x2d" * 3).replace("+++", "\\x2b" * 3)


class _Dumper(yaml.SafeDumper):
    """A safe dumper of its own, so that nobody else's dumper changes."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text_node(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None
    if _NOT_LITERAL.search(text):
        style = '"'
    elif "\n" in text or (len(text) > LONG and " " in text):
        style = "|"
    elif not _PLAIN.fullmatch(text):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)
