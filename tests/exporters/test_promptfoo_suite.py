"""The suite file. Nunjucks is not in Python: Jinja2 reads what the exporter writes alike (see ``exporters.jinja``).

With ``DEFENDER_PROMPTFOO`` set to promptfoo's own program, it validates and renders the files too.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from defender.contracts import Exporter
from defender.errors import ConfigError
from defender.exporters.promptfoo_suite import HARMLESS, KNOWN, PromptfooExporter
from defender.identities import messages
from defender.records import Candidate, Identity
from tests.contracts.exporter import AWKWARD, PROVENANCE, SEATS, SENTENCES, ConversationContract

RENDER = jinja2.Environment(keep_trailing_newline=True).from_string
PROMPTFOO = os.environ.get("DEFENDER_PROMPTFOO", "")


class TestPromptfooExporter(ConversationContract):
    def exporter(self) -> Exporter:
        return PromptfooExporter(SENTENCES[1:])

    def messages(self, path: Path, sentence: str, question: str) -> list[tuple[str, str]]:
        """Do what promptfoo does with a prompt that is JSON: parse it, then render every text in it."""
        (prompt,) = yaml.safe_load(path.read_bytes())["prompts"]
        values = {"question": question} | ({"identity": sentence} if sentence else {})
        return [(each["role"], RENDER(each["content"]).render(values)) for each in json.loads(prompt["raw"])]


def test_every_identity_and_the_user_without_one_are_asked_every_question(tmp_path: Path) -> None:
    PromptfooExporter(("I am a man.", "I am a woman.")).write(Candidate("Be fair.", label="D4"), PROVENANCE, tmp_path)
    tests = yaml.safe_load((tmp_path / "D4.promptfoo.yaml").read_bytes())["tests"]
    assert len(tests) == len(KNOWN) + len(HARMLESS)
    assert all(test["vars"]["identity"] == ["", "I am a man.", "I am a woman."] for test in tests)
    assert tests[0]["assert"] == [{"type": "icontains", "value": "42"}]
    assert tests[-1]["assert"] == [{"type": "not-is-refusal"}]


@pytest.mark.parametrize("sentence", ["I am {{ question }}.", "file://people.txt", "package:x:y"])
def test_a_sentence_that_promptfoo_would_resolve_is_refused(tmp_path: Path, sentence: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot carry .* \(an identity\) is a reference"):
        PromptfooExporter((sentence,)).write(Candidate("Be fair."), PROVENANCE, tmp_path)


@pytest.mark.parametrize("awkward", AWKWARD)
def test_a_prompt_is_never_taken_for_a_path(tmp_path: Path, awkward: str) -> None:
    candidate = Candidate(AWKWARD[awkward] + "x", label="D4")
    PromptfooExporter(()).write(candidate, PROVENANCE, tmp_path)
    (prompt,) = yaml.safe_load((tmp_path / "D4.promptfoo.yaml").read_bytes())["prompts"]
    assert "\n" in prompt["raw"]


@pytest.mark.parametrize("awkward", AWKWARD)
def test_no_end_of_a_comment_is_left_which_nunjucks_refuses(tmp_path: Path, awkward: str) -> None:
    candidate = Candidate(AWKWARD[awkward] + "#}x", label="D4")
    PromptfooExporter(()).write(candidate, PROVENANCE, tmp_path)
    (prompt,) = yaml.safe_load((tmp_path / "D4.promptfoo.yaml").read_bytes())["prompts"]
    assert "#}" not in prompt["raw"]


@pytest.mark.skipif(
    not PROMPTFOO, reason="no DEFENDER_PROMPTFOO; npm install promptfoo, set it to node_modules/.bin/promptfoo"
)
@pytest.mark.parametrize("seat", SEATS)
def test_promptfoo_itself_accepts_the_suite_and_sends_what_was_measured(tmp_path: Path, seat: Any) -> None:
    candidates = [
        Candidate(text, after, seat=seat, label=f"case-{n}-{bool(after)}")
        for n, text in enumerate(AWKWARD.values())
        for after in ("", text[::-1])
        if text.strip()
    ]
    prompts, suite = [], {}
    for candidate in candidates:
        (file,) = PromptfooExporter(SENTENCES[1:]).write(candidate, PROVENANCE, tmp_path)
        suite = yaml.safe_load(Path(file.path).read_bytes())
        prompts += suite["prompts"]
    promptfoo("validate", "-c", file.path, home=tmp_path)
    question = suite["tests"][0]["vars"]["question"]
    merged = {"prompts": prompts, "providers": ["echo"], "tests": suite["tests"][:1]}
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(merged, allow_unicode=True), encoding="utf-8")
    promptfoo("eval", "-c", "all.yaml", "--no-cache", "--no-table", "-o", "out.json", home=tmp_path)
    rows = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["results"]["results"]
    sent = {
        (row["promptIdx"], row["vars"]["identity"]): [
            (m["role"], m["content"]) for m in json.loads(row["response"]["output"])
        ]
        for row in rows
    }
    assert sent == {
        (n, sentence): list(messages(candidate, Identity("someone", "any", sentence), question))
        for n, candidate in enumerate(candidates)
        for sentence in SENTENCES
    }


def promptfoo(*arguments: str, home: Path) -> None:
    """Run promptfoo in a folder of its own; an assertion that failed (exit code 100) is not our question."""
    quiet = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "PROMPTFOO_CONFIG_DIR": str(home)}
    # Its logger may be written to while it closes, which ends the program after all is done.
    quiet |= {"PROMPTFOO_DISABLE_DEBUG_LOG": "true", "PROMPTFOO_DISABLE_ERROR_LOG": "true"}
    done = subprocess.run(
        [PROMPTFOO, *arguments], cwd=home, env=os.environ | quiet, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 100), done.stdout + done.stderr
