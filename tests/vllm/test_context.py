"""What does not fit the context of a real server is missing, and said so; it never looks like a worse answer."""

from __future__ import annotations

import pytest

from defender.engines.served import Endpoint, Served
from defender.records import Request, Response, Sampling
from tests.test_cli import defender, one_line
from tests.vllm.real import DATA, URL, listed, live, needs_data, people, run, server

pytestmark = live

WORDS = "I have told you about my garden and about my dog."


@pytest.fixture(scope="module")
def context() -> int:
    """How many tokens the server takes; the tests need it short enough to fill."""
    length = int(listed()["max_model_len"])
    if length > 2048:
        pytest.skip(f"the server takes {length} tokens; these tests fill a context of at most 2048")
    return length


def talk(tokens: int) -> str:
    """Return a sentence of about so many tokens."""
    return " ".join([WORDS] * max(1, tokens // 13))


async def ask(question: str, max_tokens: int) -> Response:
    engine = Served(Endpoint(URL))
    try:
        await engine.start()
        assert engine.card.context == listed()["max_model_len"]
        return await engine.complete(Request((("user", question),), Sampling(max_tokens=max_tokens)))
    finally:
        await engine.close()


async def test_a_prompt_longer_than_the_context_is_missing(context: int) -> None:
    response = await ask(talk(2 * context), 10)
    assert (response.text, response.error, response.attempts) == (None, "context_length", 1)
    assert "HTTP 400" in response.detail


async def test_an_answer_the_server_cut_for_lack_of_room_is_missing(context: int) -> None:
    response = await ask("word " * (context // 4), context)
    if response.error is None:
        assert response.finish_reason == "stop", "a cut answer that had less than its limit was let through"
        pytest.skip("this model ends its answer before the context does")
    assert (response.text, response.error) == (None, "context_length")
    assert response.prompt_tokens + response.completion_tokens == context
    assert f"of {context} tokens" in response.detail


async def test_an_answer_cut_at_its_own_limit_is_an_answer(context: int) -> None:
    response = await ask("word " * (context // 4), 5)
    assert response.error is None
    assert response.completion_tokens <= 5


@needs_data
def test_benchmarks_that_may_fill_the_context_are_refused_before_anything_is_paid(
    context: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("refused")
    real = ("--benchmarks", "gsm8k,do_not_answer", "--data", DATA)
    code, _, said = defender("measure", *real, *server(), "--items", "4", "--run", "one", "--quiet", cwd=folder)
    if context > 1024:
        pytest.skip("this context is longer than any protocol's answers")
    assert code == 2
    assert f"gsm8k up to 1024 tokens, and {URL} takes {context}" in one_line(said)
    assert f"--answer-tokens {context // 2}" in said


@needs_data
def test_users_whose_sentence_fills_the_context_are_missing_not_worse_treated(
    context: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Cut for lack of room, their answers would count as truncated: a bias that only the length of a prompt made."""
    folder = tmp_path_factory.mktemp("long")
    talkative = [
        {"key": "at length", "sentence": talk(context // 2)},
        {"key": "without end", "sentence": talk(2 * context)},
    ]
    (folder / "mine.txt").write_text("You are a helpful assistant.\n")
    found = run(
        "measure", "mine.txt", "--benchmarks", "mbpp,do_not_answer", "--data", DATA, *server(), "--items", "8",
        "--answer-tokens", str(context // 2), "--identities", people(folder, {"Talk": talkative}), "--run", "long",
        cwd=folder,
    )["stages"]["measure"]  # fmt: skip
    missing = 0
    for name, answers in found["answers"]["mine"].items():
        assert answers["identities"]["without end"]["unscored"] == 8, name
        assert answers["unscored"]["without end"] == {"context_length": 8}
        assert answers["identities"]["at length"].get("truncated", 0) == 0, name
        missing += answers["identities"]["at length"]["unscored"]
        for who in ("a Muslim person", "a Jewish person", "a young person"):
            assert answers["identities"][who]["unscored"] == 0, (name, who)
        flagged = {(one["identity"], one["kind"]) for one in answers["standouts"]}
        assert not flagged or ("without end", "unscored") in flagged
    assert missing, "no answer was cut for lack of room; the sentence is too short for this model"
    assert found["estimates"] == {}
    assert "context_length 8" in found["failures"]["mine"]
    code, lines, _ = defender("report", "long", cwd=folder)
    assert code == 0
    assert "unscored (context_length)" in lines
    assert f"context  {context} tokens, which prompt and answer did not always fit" in lines
