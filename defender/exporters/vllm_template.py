"""vLLM: a chat template that puts the prompt in front of every conversation, then does what the model's own does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from defender.errors import ConfigError
from defender.exporters.jinja import from_literal, literal
from defender.exporters.payload import file_stem, placed
from defender.exporters.slot import said, slot
from defender.exporters.stamp import stamp_lines
from defender.records import Candidate, Export

OPENS, CLOSES = "{#-\n", "\n-#}\n"
"""What stands around the stamp."""

_LITERAL = r'"(?:[ -!#-\[\]-~]|\\(?:[nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}))*"'
_SETS = re.compile(
    rf"\{{%- set defender_system = (?:\((?P<head>{_LITERAL}) ~ identity ~ (?P<tail>{_LITERAL})\) if \(.*?\) else )?"
    rf"(?P<bare>{_LITERAL}) -%\}}\n"
)

_WHERE = "the model's folder, its chat_template.jinja or its tokenizer_config.json"


@dataclass(frozen=True)
class VllmExporter:
    """Writes ``<name>.vllm.jinja``: a few lines that change ``messages``, and behind them the model's own template.

    The sentence that names an identity comes as ``chat_template_kwargs: {"identity": ...}`` of a request. A system
    message of the application's own is kept, behind the prompt and an empty line.

    Attributes:
        model_template: the model's own chat template; None refuses to write, since no template fits all models.
    """

    model_template: str | None
    format = "vllm"

    def write(self, candidate: Candidate, provenance: Mapping[str, object], into: Path) -> Sequence[Export]:
        """Write the file. Raises StoreError, ConfigError (also without the model's own template)."""
        said(candidate)
        if self.model_template is None:
            raise ConfigError(
                f"the vllm format needs the chat template of the model you serve; add --model-template with {_WHERE}"
            )
        name = f"{file_stem(candidate)}.vllm.jinja"
        how = (
            f"vllm serve MODEL --chat-template {name}",
            'A request tells who asks with "chat_template_kwargs": {"identity": "I am ..."}.',
        )
        # '#' and '}' side by side would end the comment; in JSON they meet inside texts only.
        header = "\n".join(stamp_lines(candidate, provenance, *how)).replace("#}", "#\\u007d")
        text = f"{OPENS}{header}{CLOSES}{_prefix(candidate)}\n{self.model_template}"
        return [placed(into / name, text, candidate.template, self.format)]


def from_template(template: str) -> tuple[Candidate, ...]:
    """Return the candidates, without a name, for which a chat template has these lines behind its stamp.

    Where the identity sentence touches white space they differ in whose blank that is, not in any text.

    Raises:
        ValueError: there is none, so what the template makes of a conversation is not known from it.
    """
    sets = _SETS.match(template)
    if sets is None:
        raise ValueError("its first line is not the one an export writes")
    head, tail, bare = (None if text is None else from_literal(text) for text in sets.group("head", "tail", "bare"))
    if head is None or tail is None:
        found = [Candidate(bare or "", seat="user")]
    else:
        found = [
            Candidate(before, after)
            for before in (head, head.removesuffix(" "))
            for after in (tail, tail.removeprefix(" "))
        ]
    fits = tuple(dict.fromkeys(one for one in found if template.startswith(f"{_prefix(one)}\n")))
    if not fits:
        raise ValueError("its lines in front of the model's own template are not those an export writes")
    return fits


def read_model_template(path: Path) -> str:
    """Read a model's own chat template from its folder, a template file or a tokenizer_config.json.

    Raises:
        ConfigError: there is none.
    """
    if path.is_dir():
        for name in ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"):
            if (path / name).is_file() and (name.endswith(".jinja") or _in_json(path / name) is not None):
                return read_model_template(path / name)
        raise ConfigError(f"no chat template in {path}; give {_WHERE}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the chat template {path}: {error}; give {_WHERE}") from error
    found = text if path.suffix != ".json" else _in_json(path)
    if not found or not found.strip():
        raise ConfigError(f"no chat template in {path}; give {_WHERE}")
    return found


def _in_json(path: Path) -> str | None:
    """Return the chat template a JSON file holds, the one named "default" where there are several."""
    try:
        held = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}; give {_WHERE}") from error
    found = held.get("chat_template") if isinstance(held, dict) else None
    if isinstance(found, list):
        named = {each.get("name"): each.get("template") for each in found if isinstance(each, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None


def _prefix(candidate: Candidate) -> str:
    """Return the lines that set ``messages``; nothing here loops over content, which vLLM takes for a sign."""
    cut = slot(candidate)
    known = "identity is defined and identity"
    system, user = _literal(candidate.system("")), ""
    if cut:
        told = f"{_literal(cut.head)} ~ identity ~ {_literal(cut.tail)}"
        system = f"({told}) if ({known}) else {system}"
    else:
        user = _USER.replace("@KNOWN@", known)
    return _PREFIX.replace("@USER@", user).replace("@SYSTEM@", system)


def _literal(text: str) -> str:
    """Return a literal without the quoted word that tells vLLM a template knows the role "developer"."""
    return literal(text).replace("'developer'", "\\x27developer\\x27")


_PREFIX = """\
{%- set defender_system = @SYSTEM@ -%}
{%- set defender_rest = messages -%}
{%- if messages and messages[0].role == 'system' -%}
  {%- set defender_rest = messages[1:] -%}
  {%- if messages[0].content is string -%}
    {%- set defender_system = defender_system ~ '\\n\\n' ~ messages[0].content -%}
  {%- else -%}
    {%- set defender_system = [{'type': 'text', 'text': defender_system ~ '\\n\\n'}] + messages[0].content -%}
  {%- endif -%}
{%- elif messages and messages[0].content is not string -%}
  {%- set defender_system = [{'type': 'text', 'text': defender_system}] -%}
{%- endif -%}
@USER@{%- set messages = [{'role': 'system', 'content': defender_system}] + defender_rest %}"""

_USER = """\
{%- if @KNOWN@ and defender_rest and defender_rest[0].role == 'user' -%}
  {%- if defender_rest[0].content is string -%}
    {%- set defender_said = identity ~ ' ' ~ defender_rest[0].content -%}
  {%- else -%}
    {%- set defender_said = [{'type': 'text', 'text': identity ~ ' '}] + defender_rest[0].content -%}
  {%- endif -%}
  {%- set defender_rest = [dict(defender_rest[0], content=defender_said)] + defender_rest[1:] -%}
{%- endif -%}
"""
