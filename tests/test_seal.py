from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from defender.benchmarks.do_not_answer import DoNotAnswer
from defender.benchmarks.miniature import Miniature
from defender.config import RunConfig
from defender.engines.scripted import Scripted
from defender.errors import ResumeRefused
from defender.judges.model import ModelJudge
from defender.judges.rubrics import DO_NOT_ANSWER
from defender.records import ModelCard
from defender.seal import card_in_words, card_of, keep_writer, same_model, seal, seated
from defender.store import SqlStore
from tests.benchmarks.conftest import real_source

MODEL = ModelCard("llama", "r1", "vllm 0.32", "http://a/v1")
JUDGE = ModelCard("umpire", "r2", "vllm 0.32", "http://b/v1")
MINI = {"mini": Miniature("mini", "safety", ("unsafe",))}


def test_a_run_goes_on_with_what_it_began_with(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    for _ in range(2):
        seal(store, {"model": MODEL, "judge": JUDGE}, MINI)
    assert card_of(store.notes("card")["judge"]) == JUDGE
    assert card_in_words(store.notes("card")["judge"]) == (
        "model umpire, revision r2, server vllm 0.32, endpoint http://b/v1"
    )
    assert store.notes("benchmark")["mini"]["protocol"] == MINI["mini"].protocol


@pytest.mark.parametrize("field", ["model", "revision", "server", "endpoint"])
@pytest.mark.parametrize("who", ["model", "judge"])
def test_another_model_or_judge_is_refused_with_the_difference(tmp_path: Path, who: str, field: str) -> None:
    store = SqlStore(tmp_path / "run.db")
    cards: dict[str, ModelCard | None] = {"model": MODEL, "judge": JUDGE}
    seal(store, cards, MINI)
    before = store.notes("card")
    was = getattr(cards[who], field)
    with pytest.raises(ResumeRefused, match=f"{who}.{field}: '{was}' -> 'other'"):
        seal(store, {**cards, who: replace(cards[who], **{field: "other"})}, MINI)  # type: ignore[type-var]
    assert store.notes("card") == before


def test_a_rubric_of_another_version_is_refused(tmp_path: Path) -> None:
    store, source = SqlStore(tmp_path / "run.db"), real_source()
    engine = Scripted(lambda _: "")

    def read_by(version: int) -> dict[str, DoNotAnswer]:
        return {"dna": DoNotAnswer(source, ModelJudge(engine, replace(DO_NOT_ANSWER, version=version)))}

    seal(store, {"model": MODEL, "judge": JUDGE}, read_by(1))
    with pytest.raises(ResumeRefused, match=r"do_not_answer@1.* -> .*do_not_answer@2"):
        seal(store, {"model": MODEL, "judge": JUDGE}, read_by(2))


def test_a_run_without_a_judge_keeps_no_card_of_one(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    seal(store, {"model": MODEL, "judge": None}, MINI)
    assert list(store.notes("card")) == ["model"]


def test_a_judge_that_is_the_judged_model_is_told_from_another() -> None:
    assert same_model(MODEL, None) is None
    assert same_model(MODEL, JUDGE) is None
    assert "at the same endpoint" in (same_model(MODEL, replace(JUDGE, model="llama", endpoint="http://a/v1")) or "")
    assert "at another endpoint" in (same_model(MODEL, replace(JUDGE, model="llama")) or "")


def test_where_the_system_text_goes_is_asked_once_a_run(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    asked = RunConfig(command="measure")
    assert seated(asked, store).model.system_role == "auto"
    for role, found in (("user", "user"), ("", "system")):
        for who in ("model", "judge"):
            store.note("card", who, asdict(ModelCard("tiny", system_role=role)))
        keep_writer(store, ModelCard("tiny", system_role=role))
        config = seated(asked, store)
        assert {one.system_role for one in (config.model, config.judge, config.search.writer)} == {found}
        assert config.decisive() == asked.decisive()
    store.close()


def test_a_run_begun_before_cards_told_where_the_system_text_goes_goes_on(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    before = asdict(ModelCard("tiny"))
    del before["system_role"]
    store.note("card", "model", before)
    seal(store, {"model": ModelCard("tiny")}, {})
    with pytest.raises(ResumeRefused, match="system_role"):
        seal(store, {"model": ModelCard("tiny", system_role="user")}, {})
    store.close()
