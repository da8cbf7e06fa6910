"""Exported prompts read back: the parts around the identity sentence, from the text that the consumer would send.

A file says its text in one place and often a hash of it in another. Where the two differ somebody changed the prompt
behind the measurement's back, and that is said instead of guessing which of them ships.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Formatter
from typing import Any

import yaml

from defender.errors import ConfigError
from defender.exporters.payload import SCHEMA, sha256
from defender.records import Candidate, Seat

READ = "text, json, yaml, kubernetes, litellm, openai, langchain, langfuse, dspy"
"""The formats that carry the prompt whole and in plain sight."""

_MARK = "\ue000identity\ue000"
_ASKED = "\ue000question\ue000"


def read_export(path: Path) -> Candidate:
    """Read a prompt from an exported JSON or YAML file, whatever its name.

    Raises:
        ConfigError: it cannot be read, is of no known format, or its text is not the one its hash is of.
    """
    document = _parsed(path)
    for known, read in _READERS:
        if known(document):
            try:
                found, shas = read(document)
            except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
                raise ConfigError(
                    f"{path}: expected a whole export of a prompt, got one that lacks {error}; export the prompt again"
                ) from None
            return _checked(path, found, shas)
    raise ConfigError(
        f"{path}: expected a prompt that 'defender export' wrote as {READ}, got another document; give one of these, "
        "or the system prompt itself as a .txt file"
    )


def _parsed(path: Path) -> Any:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if path.suffix.lower() == ".json":
            return json.loads(text)
        return yaml.safe_load(text)
    except FileNotFoundError:
        raise ConfigError(f"no prompt file {path}; give the path of a text file or of an exported prompt") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the exported prompt {path}: {' '.join(str(error).split())}") from error


def _checked(path: Path, found: Candidate, shas: Mapping[str, str]) -> Candidate:
    """Compare the text with the hashes its file keeps."""
    if not (found.before + found.after).strip():
        raise ConfigError(f"{path}: the prompt is empty; export it again")
    for text, sha in ((found.template, shas.get("sha256")), (found.system(""), shas.get("sha256_without_identity"))):
        if sha is not None and sha256(text) != sha:
            raise ConfigError(
                f"{path}: the prompt is not the one that was exported (sha256 {sha256(text)[:12]}, the file says "
                f"{sha[:12]}): somebody changed it; export it again, or give its text as a .txt file"
            )
    return found


def _payload(document: Any) -> tuple[Candidate, Mapping[str, str]]:
    """Read the document of the JSON and YAML formats; template, parts and messages must agree."""
    said = document["system"]
    seat: Seat = "user" if said["seat"] == "user" else "system"
    found = Candidate(str(said["before"]), str(said["after"]), seat, str(document["name"]), "export")
    shown = (said["template"], said["without_identity"], document["messages"][0]["content"])
    if shown != (found.template, found.system(""), found.template):
        raise ConfigError(
            f"prompt '{found.name}': its template, its parts and its messages do not say the same: somebody changed "
            "one of them; export it again"
        )
    return found, {"sha256": document["sha256"]}


def _config_map(document: Any) -> tuple[Candidate, Mapping[str, str]]:
    """Read a ConfigMap; the files a pod sees must be those of its manifest."""
    data = document["data"]
    found, shas = _payload(json.loads(data["manifest.json"]))
    bare = data.get("system_prompt.without-identity.txt", found.system(""))
    if (data["system_prompt.txt"], bare) != (found.template, found.system("")):
        raise ConfigError(
            f"prompt '{found.name}': system_prompt.txt and manifest.json of the ConfigMap do not say the same: "
            "somebody changed one of them; export it again"
        )
    return found, shas


def _openai(document: Any) -> tuple[Candidate, Mapping[str, str]]:
    place = document["placeholders"]["identity"]
    stamp = document["defender"]
    system, user = (message["content"] for message in document["chat_completions"]["messages"])
    found = _cut(system, user, place, stamp)
    if document["responses"]["instructions"] != system or document["responses"]["input"] != user:
        raise ConfigError(
            f"prompt '{found.name}': its chat completion and its response do not say the same: somebody changed one; "
            "export it again"
        )
    return found, stamp


def _litellm(document: Any) -> tuple[Candidate, Mapping[str, str]]:
    """Read a gateway's prompt; who asks stands where LiteLLM puts an application's own system message."""
    served = [one for one in document["model_list"] if "litellm_system_prompt" in one["litellm_params"]]
    texts = {one["litellm_params"]["litellm_system_prompt"] for one in served}
    if len(texts) != 1:
        raise ConfigError(f"expected one litellm_system_prompt, got {len(texts)}; check them one by one, as .txt files")
    (text,) = texts
    stamp = served[0].get("model_info", {}).get("defender", {})
    if sha256(text) != stamp.get("sha256_without_identity", sha256(text)):
        raise ConfigError(
            f"prompt '{stamp.get('name', '')}': litellm_system_prompt is not the text that was exported: somebody "
            "changed it; export it again, or give its text as a .txt file"
        )
    return Candidate(f"{text}\n\n", "", "system", str(stamp.get("name", "litellm")), "export"), {}


def _langchain(document: Any) -> tuple[Candidate, Mapping[str, str]]:
    kwargs = document["kwargs"]
    system, user = (_filled(one["kwargs"]["prompt"]["kwargs"]["template"]) for one in kwargs["messages"])
    stamp = kwargs["metadata"]["defender"]
    if "identity" not in kwargs["input_variables"]:
        raise ConfigError(f"prompt '{stamp['name']}' is the text without identity; give its companion that has one")
    return _cut(system, user, _MARK, stamp), stamp


def _filled(template: str) -> str:
    """Return an f-string template with marks where its variables are."""
    marks = {"identity": _MARK, "question": _ASKED}
    return "".join(text + (marks[name] if name else "") for text, name, _, _ in Formatter().parse(template))


def _langfuse(document: Any) -> tuple[Candidate, Mapping[str, str]]:
    config = document["config"]
    if "identity" not in config["variables"]:
        raise ConfigError(f"prompt '{document['name']}' is the text without identity; give its companion that has one")
    system, user = (
        one["content"]
        .replace("{{identity}}", _MARK).replace("{{question}}", _ASKED).replace("{{brace}}", "{")
        for one in document["prompt"]
    )  # fmt: skip
    return _cut(system, user, _MARK, config["defender"]), config["defender"]


def _dspy(document: Any) -> tuple[Candidate, Mapping[str, str]]:
    stamp = document["defender"]
    text = document["assistant"]["signature"]["instructions"]
    user = stamp["place"] if stamp["seat"] == "user" else ""
    return _cut(text, user, stamp["place"], stamp), stamp


def _cut(system: str, user: str, place: str, stamp: Mapping[str, str]) -> Candidate:
    """Return the candidate whose system message has the identity sentence at ``place``, or its user message has.

    A lone blank beside the place may be the prompt's own, or what joins it to a sentence: the hash of the text without
    identity knows.
    """
    name = str(stamp["name"])
    if place in user:
        return Candidate(system, "", "user", name, "export")
    before, after = system.split(place, 1)
    befores = [before.removesuffix(" "), before] if not before[:-1][-1:].isspace() else [before]
    afters = [after.removeprefix(" "), after] if not after[1:2].isspace() else [after]
    found = [Candidate(head, tail, "system", name, "export") for head in befores for tail in afters]
    fits = (one for one in found if sha256(one.system("")) == stamp["sha256_without_identity"])
    return next(fits, found[0])


_READERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], tuple[Candidate, Mapping[str, str]]]], ...] = (
    (lambda d: _has(d, "schema") and d["schema"] == SCHEMA, _payload),
    (lambda d: _has(d, "kind", "data") and d["kind"] == "ConfigMap" and "manifest.json" in d["data"], _config_map),
    (lambda d: _has(d, "model_list"), _litellm),
    (lambda d: _has(d, "chat_completions", "placeholders"), _openai),
    (lambda d: _has(d, "lc", "kwargs"), _langchain),
    (lambda d: _has(d, "prompt", "config", "type") and d["type"] == "chat", _langfuse),
    (lambda d: _has(d, "assistant", "defender"), _dspy),
)
"""How a document is known, and how it is read."""


def _has(document: Any, *keys: str) -> bool:
    return isinstance(document, dict) and all(key in document for key in keys)
