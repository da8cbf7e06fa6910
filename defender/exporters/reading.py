"""Exported prompts read back: the parts around the identity sentence, from the text that the consumer would send.

A file says its text in one place and often a hash of it in another. Where the two differ somebody changed the prompt
behind the measurement's back, and that is said instead of guessing which of them ships.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from string import Formatter
from typing import Any

from defender.errors import ConfigError
from defender.exporters import dotprompt, prompty_file
from defender.exporters.mlflow_prompt import from_registration, registered_by
from defender.exporters.opened import again, document, opened
from defender.exporters.payload import IDENTITY, QUESTION, SCHEMA, sha256
from defender.exporters.promptfoo_suite import from_suite
from defender.exporters.stamp import stamp_in
from defender.exporters.vllm_template import CLOSES, OPENS, from_template
from defender.records import Candidate, Seat

READ = (
    "text, json, yaml, litellm, vllm, kubernetes, openai, langchain, langfuse, prompty, dotprompt, promptfoo, mlflow, "
    "dspy"
)

_Read = tuple[Candidate, Mapping[str, Any]]
"""A prompt, and the hashes its file keeps of it."""

_MARK = "\ue000identity\ue000"
_ASKED = "\ue000question\ue000"


def read_export(path: Path) -> Candidate:
    """Read a prompt from an exported file. A template or a program is parsed, never run.

    Raises:
        ConfigError: it cannot be read, is of no known format, its text is not known for certain, or not the one its
            hash is of.
    """
    if path.suffix.lower() == ".py":
        path = _registered(path)
    text = opened(path)
    if (reader := _reader(path, text)) is None:
        raise ConfigError(
            f"{path}: expected a prompt that 'defender export' wrote as {READ}, got another document; give one of "
            "these, or the system prompt itself as a .txt file"
        )
    format_, read = reader
    try:
        return _checked(path, *read(), format_)
    except (KeyError, IndexError) as error:
        raise ConfigError(
            f"{path}: expected a whole export of a prompt, got one that lacks {error}; {again(format_)}"
        ) from None
    except (TypeError, AttributeError, ValueError) as error:
        raise _uncertain(path, str(error), format_) from None


def _registered(script: Path) -> Path:
    """Return the file that a registration script registers."""
    try:
        return script.with_name(registered_by(opened(script).encode()))
    except ValueError as error:
        raise _uncertain(script, str(error), "mlflow") from None


def _uncertain(path: Path, why: str, format_: str) -> ConfigError:
    return ConfigError(
        f"{path}: expected a prompt as 'defender export' wrote it, got a file whose text is not certain ({why}): "
        f"somebody changed it, or something else wrote it; {again(format_)}"
    )


def _reader(path: Path, text: str) -> tuple[str, Callable[[], _Read]] | None:
    """Return the format of a file and what reads it; None for a document of no format."""
    if path.suffix.lower() in _TEMPLATES:
        format_, read = _TEMPLATES[path.suffix.lower()]
        return format_, partial(read, text)
    found = document(path, text)
    if _has(found, "prompts", "providers"):
        return "promptfoo", lambda: _stamped(text, "# ", from_suite(found))
    return next(((format_, partial(read, found)) for format_, known, read in _READERS if known(found)), None)


def _checked(path: Path, found: Candidate, shas: Mapping[str, Any], format_: str) -> Candidate:
    """Compare the text with the hashes its file keeps."""
    if not (found.before + found.after).strip():
        raise ConfigError(f"{path}: the prompt is empty; export it again")
    for text, sha in ((found.template, shas.get("sha256")), (found.system(""), shas.get("sha256_without_identity"))):
        if sha is not None and sha256(text) != sha:
            raise ConfigError(
                f"{path}: the prompt is not the one that was exported (sha256 {sha256(text)[:12]}, the file says "
                f"{str(sha)[:12]}): somebody changed it; {again(format_)}"
            )
    return found


def _prompty(text: str) -> _Read:
    front, body = _fronted(text)
    return _stamped(front, "# ", prompty_file.from_body(body))


def _dotprompt(text: str) -> _Read:
    front, body = _fronted(text)
    return _stamped(front, "# ", dotprompt.from_body(body))


def _fronted(text: str) -> tuple[str, str]:
    """Cut a file into its front matter and its body."""
    front, end, body = text.partition("\n---\n")
    if not (front.startswith("---\n") and end):
        raise ValueError("its front matter does not stand between two lines of three dashes that end in line feeds")
    return front, body


def _vllm(text: str) -> _Read:
    header, end, template = text.partition(CLOSES)
    if not (header.startswith(OPENS) and end):
        raise ValueError("it does not begin with the comment that says whose prompt it is")
    return _stamped(header, "", *from_template(template))


def _mlflow(document: Any) -> _Read:
    return _named(document["defender"], from_registration(document["register_prompt"]))


def _stamped(header: str, sign: str, *found: Candidate) -> _Read:
    """Give a text's candidate the name and the hashes of the stamp above it; of several, the one the stamp means."""
    return _named(stamp_in(header, sign), *found)


def _named(stamp: Mapping[str, Any], *found: Candidate) -> _Read:
    if not all(isinstance(stamp[key], str) for key in ("sha256", "sha256_without_identity", "name")):
        raise TypeError("its name or its hash is no text")
    meant = next((one for one in found if one.id == stamp["candidate"]), found[0])
    return replace(meant, label=stamp["name"], origin="export"), stamp


def _payload(document: Any) -> _Read:
    """Read the document of the JSON and YAML formats; template, parts and messages must agree."""
    said = document["system"]
    seat: Seat = "user" if said["seat"] == "user" else "system"
    found = Candidate(str(said["before"]), str(said["after"]), seat, str(document["name"]), "export")
    _agree(
        found,
        (said["template"], found.template),
        (said["without_identity"], found.system("")),
        (document["messages"], _messages(found.template, found.user(IDENTITY, QUESTION))),
    )
    return found, {"sha256": document["sha256"]}


def _config_map(document: Any) -> _Read:
    """Read a ConfigMap; the files a pod sees must be those of its manifest."""
    data = document["data"]
    found, shas = _payload(json.loads(data["manifest.json"]))
    asked = {"user_prompt.txt": found.user(IDENTITY, QUESTION), "system_prompt.without-identity.txt": found.system("")}
    shown = [(data[name], text) for name, text in asked.items() if name in data]
    _agree(found, (data["system_prompt.txt"], found.template), *shown)
    return found, shas


def _openai(document: Any) -> _Read:
    identity, question = document["placeholders"]["identity"], document["placeholders"]["question"]
    stamp = document["defender"]
    chat, bare = document["chat_completions"]["messages"], document["without_identity"]
    system, user = (message["content"] for message in chat)
    found = _cut(system, user, identity, question, stamp)
    without = found.system(""), question
    _agree(
        found,
        (chat, _messages(system, user)),
        (document["responses"]["instructions"], system),
        (document["responses"]["input"], user),
        (bare["chat_completions"]["messages"], _messages(*without)),
        ((bare["responses"]["instructions"], bare["responses"]["input"]), without),
    )
    return found, stamp


def _messages(system: str, user: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def _agree(found: Candidate, *said: tuple[object, object]) -> None:
    """Raise a ConfigError where what a file says in one place is not what it must be by another."""
    if any(one != other for one, other in said):
        raise ConfigError(
            f"prompt '{found.name}': the places of its file that hold the text do not say the same: somebody changed "
            "one of them; export it again"
        )


def _litellm(document: Any) -> _Read:
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


def _langchain(document: Any) -> _Read:
    kwargs = document["kwargs"]
    system, user = (_filled(one["kwargs"]["prompt"]["kwargs"]["template"]) for one in kwargs["messages"])
    stamp = kwargs["metadata"]["defender"]
    if "identity" not in kwargs["input_variables"]:
        raise ConfigError(f"prompt '{stamp['name']}' is the text without identity; give its companion that has one")
    return _cut(system, user, _MARK, _ASKED, stamp), stamp


def _filled(template: str) -> str:
    """Return an f-string template with marks where its variables are."""
    marks = {"identity": _MARK, "question": _ASKED}
    return "".join(text + (marks[name] if name else "") for text, name, _, _ in Formatter().parse(template))


def _langfuse(document: Any) -> _Read:
    config = document["config"]
    if "identity" not in config["variables"]:
        raise ConfigError(f"prompt '{document['name']}' is the text without identity; give its companion that has one")
    system, user = (
        one["content"]
        .replace("{{identity}}", _MARK).replace("{{question}}", _ASKED).replace("{{brace}}", "{")
        for one in document["prompt"]
    )  # fmt: skip
    return _cut(system, user, _MARK, _ASKED, config["defender"]), config["defender"]


def _dspy(document: Any) -> _Read:
    """Read a program's state; its user message is made by the program beside it."""
    stamp = document["defender"]
    text = document["assistant"]["signature"]["instructions"]
    found = _cut(text, f"{stamp['place']} " if stamp["seat"] == "user" else "", stamp["place"], "", stamp)
    _agree(found, (stamp["instructions"], text), (stamp["without_identity"], found.system("")))
    return found, stamp


def _cut(system: str, user: str, place: str, asked: str, stamp: Mapping[str, str]) -> Candidate:
    """Return the candidate whose system message has the identity sentence at ``place``, or its user message has.

    A lone blank beside the place may be the prompt's own, or what joins it to a sentence: the hash of the text without
    identity knows. ``asked`` is where the question goes.

    Raises:
        ValueError: the identity sentence has no place, or the user message says more than who asks and what.
    """
    name = str(stamp["name"])
    if user == f"{place} {asked}":
        return Candidate(system, "", "user", name, "export")
    if user != asked:
        raise ValueError("its user message is not the one an export writes")
    before, there, after = system.partition(place)
    if not there:
        raise ValueError("the place of who asks is not in it")
    befores = [before.removesuffix(" "), before] if not before[:-1][-1:].isspace() else [before]
    afters = [after.removeprefix(" "), after] if not after[1:2].isspace() else [after]
    found = [Candidate(head, tail, "system", name, "export") for head in befores for tail in afters]
    fits = (one for one in found if sha256(one.system("")) == stamp["sha256_without_identity"])
    return next(fits, found[0])


_TEMPLATES: Mapping[str, tuple[str, Callable[[str], _Read]]] = {
    ".prompty": ("prompty", _prompty),
    ".prompt": ("dotprompt", _dotprompt),
    ".jinja": ("vllm", _vllm),
}

_READERS: tuple[tuple[str, Callable[[Any], bool], Callable[[Any], _Read]], ...] = (
    ("json", lambda d: _has(d, "schema") and d["schema"] == SCHEMA, _payload),
    ("kubernetes", lambda d: _has(d, "kind", "data") and _has(d["data"], "manifest.json"), _config_map),
    ("litellm", lambda d: _has(d, "model_list"), _litellm),
    ("openai", lambda d: _has(d, "chat_completions", "placeholders"), _openai),
    ("langchain", lambda d: _has(d, "lc", "kwargs"), _langchain),
    ("langfuse", lambda d: _has(d, "prompt", "config", "type") and d["type"] == "chat", _langfuse),
    ("mlflow", lambda d: _has(d, "register_prompt", "defender"), _mlflow),
    ("dspy", lambda d: _has(d, "assistant", "defender"), _dspy),
)
"""Which format a document is of, how that is known, and how it is read."""


def _has(document: Any, *keys: str) -> bool:
    return isinstance(document, dict) and all(key in document for key in keys)
