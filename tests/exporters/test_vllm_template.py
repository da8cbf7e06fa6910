"""The chat template, rendered as vLLM does (transformers' sandbox); ``tests/vllm`` asks a real server."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from defender.contracts import Exporter
from defender.errors import ConfigError
from defender.exporters.vllm_template import VllmExporter, read_model_template
from defender.records import Candidate
from tests.contracts.exporter import AWKWARD, PROVENANCE, SEATS, ConversationContract

SHOW = "{{ messages | tojson }}"
"""A model template that shows the conversation it was given."""

MODELS = {
    "ChatML": (
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' "
        "+ '\n'}}{% endfor %}\n{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}\n"
    ),
    "own default": (
        "\n\n  {%- if messages[0]['role'] == 'system' %}\n    {%- set own = messages[0]['content'] %}\n"
        "    {%- set messages = messages[1:] %}\n  {%- else %}\n    {%- set own = 'A default.' %}\n  {%- endif %}\n"
        "<s>[{{ own }}]\n{%- for message in messages %} {{ message.role }}={{ message.content }};{% endfor %}"
    ),
    "leading space": "\n  \n {{ messages[0].content }} {{ messages[1].content }}",
    "macro": (
        "{% macro first() %}{{ messages[0].content }}{% endmacro %}  text {{ first() }}\r\n"
        "{%- for message in messages[1:] -%}{{ message.content }}{%- endfor -%}  \n\n"
    ),
}


@cache
def compiled(template: str) -> jinja2.Template:
    """Compile as ``transformers`` compiles chat templates."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(template)


def rendered(template: str, messages: list[dict[str, Any]], **values: Any) -> str:
    """Return the text a server would give its model."""
    return compiled(template).render(messages=messages, add_generation_prompt=True, **values)


def conversation(path: Path, messages: list[dict[str, Any]], **values: Any) -> list[dict[str, Any]]:
    """Return the messages the model's own template gets."""
    made: list[dict[str, Any]] = json.loads(rendered(path.read_text(encoding="utf-8"), messages, **values))
    return made


class TestVllmExporter(ConversationContract):
    def exporter(self) -> Exporter:
        return VllmExporter(SHOW)

    def messages(self, path: Path, sentence: str, question: str) -> list[tuple[str, str]]:
        asked = [{"role": "user", "content": question}]
        made = conversation(path, asked, **({"identity": sentence} if sentence else {}))
        return [(message["role"], message["content"]) for message in made]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("awkward", AWKWARD)
def test_the_models_own_template_does_what_it_does_with_a_system_message(
    tmp_path: Path, model: str, awkward: str
) -> None:
    candidate = Candidate(f"x{AWKWARD[awkward]}", "Be safe.", label="D4")
    (file,) = VllmExporter(MODELS[model]).write(candidate, PROVENANCE, tmp_path)
    asked = {"role": "user", "content": "Why?"}
    template = Path(file.path).read_text(encoding="utf-8")
    for sentence in ("", "I am a man."):
        wanted = rendered(MODELS[model], [{"role": "system", "content": candidate.system(sentence)}, asked])
        assert rendered(template, [asked], **({"identity": sentence} if sentence else {})) == wanted


@pytest.mark.parametrize("seat", SEATS)
def test_what_follows_in_the_conversation_stays_as_it_is(tmp_path: Path, seat: Any) -> None:
    candidate = Candidate("Be fair.", seat=seat, label="D4")
    VllmExporter(SHOW).write(candidate, PROVENANCE, tmp_path)
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "Why?", "name": "x"},
        call,
        {"role": "user", "content": "And?"},
    ]
    made = conversation(tmp_path / "D4.vllm.jinja", turns, identity="I am a man.")
    assert made[2:] == turns[1:]
    assert made[1] == turns[0] | {"content": candidate.user("I am a man.", "Why?")}


def test_a_system_message_of_the_applications_own_comes_behind_the_prompt(tmp_path: Path) -> None:
    VllmExporter(SHOW).write(Candidate("Be fair.", label="D4"), PROVENANCE, tmp_path)
    own, asked = {"role": "system", "content": " In French. "}, {"role": "user", "content": "Why?"}
    made = conversation(tmp_path / "D4.vllm.jinja", [own, asked])
    assert made == [{"role": "system", "content": "Be fair.\n\n In French. "}, asked]


@pytest.mark.parametrize("seat", SEATS)
def test_content_in_parts_stays_in_parts(tmp_path: Path, seat: Any) -> None:
    candidate = Candidate("Be fair.", seat=seat, label="D4")
    VllmExporter(SHOW).write(candidate, PROVENANCE, tmp_path)

    def parts(role: str, text: str) -> dict[str, Any]:
        return {"role": role, "content": [{"type": "text", "text": text}]}

    def joined(message: dict[str, Any]) -> str:
        return "".join(part["text"] for part in message["content"])

    for own in ([], [parts("system", "In French.")]):
        system, user = conversation(tmp_path / "D4.vllm.jinja", [*own, parts("user", "Why?")], identity="I am a man.")
        assert joined(system) == candidate.system("I am a man.") + ("\n\nIn French." if own else "")
        assert joined(user) == candidate.user("I am a man.", "Why?")


@pytest.mark.parametrize("awkward", AWKWARD)
def test_vllm_does_not_take_the_prompt_for_a_sign_of_what_the_template_can(tmp_path: Path, awkward: str) -> None:
    text = f"x {AWKWARD[awkward]} the \"developer\" and 'developer' role"
    (file,) = VllmExporter(SHOW).write(Candidate(text, label="D4"), PROVENANCE, tmp_path)
    written = Path(file.path).read_bytes()
    assert written.isascii()
    assert b"\r" not in written
    assert b"'developer'" not in written
    assert b'"developer"' not in written
    # vLLM takes loops over content for a template that wants content in parts.
    prefix = ImmutableSandboxedEnvironment().parse(written.decode())
    assert not list(prefix.find_all(jinja2.nodes.For))


def test_what_is_told_about_the_prompt_does_not_end_the_comment_it_stands_in(tmp_path: Path) -> None:
    VllmExporter(SHOW).write(Candidate("Be fair.", label="D4"), {"run": "a #} b {{ c }} -#}"}, tmp_path)
    made = conversation(tmp_path / "D4.vllm.jinja", [{"role": "user", "content": "Why?"}])
    assert made[0] == {"role": "system", "content": "Be fair."}


def test_without_the_models_own_template_nothing_is_written_and_the_way_out_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"vllm format needs the chat template .* add --model-template"):
        VllmExporter(None).write(Candidate("Be fair."), {}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_models_template_is_found_where_models_keep_it(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "from config"}))
    assert read_model_template(tmp_path) == "from config"
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "the default"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert read_model_template(tmp_path / "tokenizer_config.json") == "the default"
    (tmp_path / "chat_template.jinja").write_text("from its file\n")
    assert read_model_template(tmp_path) == "from its file\n"
    assert read_model_template(tmp_path / "chat_template.jinja") == "from its file\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.jinja", ""),
        ("none.json", "{}"),
        ("list.json", "[]"),
        ("broken.json", "{"),
        ("folder/x", ""),
        ("gone", None),
    ],
)
def test_where_there_is_no_template_the_error_says_where_to_look(
    tmp_path: Path, name: str, content: str | None
) -> None:
    path = tmp_path / name
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"give the model's folder, its chat_template\.jinja or its tokenizer_config"):
        read_model_template(path.parent if name == "folder/x" else path)
