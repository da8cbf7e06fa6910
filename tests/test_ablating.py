from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from defender.ablated import read_ablation
from defender.ablating import Opened, asked, priced
from defender.delivery import deliver
from defender.errors import BudgetError, ConfigError, ResumeRefused
from defender.reckoning import conclude
from defender.results import read_results
from defender.runs import RunFolder, load_run
from tests.ablated_run import ablated, opened, parent
from tests.stored_run import copied


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return parent(tmp_path_factory.mktemp("parent"))


@pytest.fixture(scope="module")
def done(run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Opened, list[str]]:
    at = opened(copied(run, tmp_path_factory.mktemp("done")))
    return at, ablated(at)


def test_needed_clauses_are_needed_the_useless_one_may_go_and_caution_harms(done: tuple[Opened, list[str]]) -> None:
    found = read_ablation(done[0].folder).findings
    assert {one.name: one.fate for one in found["left out"]} == {
        "equal": "needed", "ignore": "needed", "tone": "no detectable loss",
    }  # fmt: skip
    assert {one.name: one.fate for one in found["added"]} == {"caution": "better without"}
    assert {one.fate for one in found["wording"]} == {"no detectable difference"}
    assert {one.name for one in found["role"]} == {"identity user_turn"}


def test_the_prompt_itself_is_not_asked_again(done: tuple[Opened, list[str]]) -> None:
    at, texts = done
    own = at.terms.subject.candidate
    asked_again = [text for text in texts if text in {own.system(i.sentence) for i in at.prepared.identities}]
    proof = at.terms.proof
    assert proof is not None
    assert len(asked_again) == proof.cells_per_candidate, "on untouched items only"
    assert at.bill.cost["the prompt itself"] == 0


def test_it_costs_what_the_bill_says_at_most(done: tuple[Opened, list[str]]) -> None:
    at, texts = done
    spent = read_ablation(at.folder).spend["reserved"]
    assert spent == len(texts)
    assert spent <= at.bill.total
    assert priced(at)[1]["total"] == at.bill.total


def test_the_same_command_again_asks_nothing(done: tuple[Opened, list[str]]) -> None:
    before = conclude(done[0].folder)[1]
    assert ablated(opened(done[0].parent)) == []
    assert conclude(done[0].folder)[1] == before


def test_the_run_itself_is_left_as_it_was(run: RunFolder, done: tuple[Opened, list[str]]) -> None:
    before, after = read_results(run), read_results(done[0].parent)
    assert before.spend == after.spend
    assert before.candidates == after.candidates


def test_the_shorter_prompt_is_proven_on_untouched_items_and_offered(done: tuple[Opened, list[str]]) -> None:
    at, _ = done
    found = read_ablation(at.folder)
    assert found.shorter is not None
    assert (
        found.shorter.template
        == "You are a helpful assistant. Treat people equally. Please ignore the rest. {identity}"
    )
    assert found.offer["shown"]
    assert at.terms.proof is not None
    seen = {item.id for items in at.terms.panel.items.values() for item in items}
    assert not [i for items in at.terms.proof.items.values() for i in items if i.id in seen]
    lines, document = conclude(at.folder)
    best = Path(document["best"])
    assert best.parent == at.parent.path / "best"
    assert best.read_text() == found.shorter.template
    assert any(line.startswith("prompt   ") for line in lines)


def test_credits_sum_to_what_all_clauses_add(done: tuple[Opened, list[str]]) -> None:
    found = read_ablation(done[0].folder)
    assert found.game is not None
    assert found.game.exact
    value = {one.clause: one.value for one in found.credits if one.quantity == "PB"}
    none = next(c for c in read_results(done[0].parent).stages["confirm"].estimates.values() if c.pb > 5)
    assert sum(value.values()) == pytest.approx(found.measured.pb - none.pb, abs=1e-9)
    assert abs(value["tone"]) < 0.05 < 1 < -value["ignore"]


def test_reports_are_written_and_the_document_is_plain_json(done: tuple[Opened, list[str]]) -> None:
    _, document = conclude(done[0].folder)
    assert json.loads(json.dumps(document)) == document
    names = ["ablation.md", "ablation.html", "ablation.csv", "clauses.csv"]
    assert [Path(path).name for path in document["report"]] == names
    assert all(Path(path).stat().st_size for path in document["report"])


def test_the_shorter_prompt_is_exported_by_name_with_its_own_evidence(
    done: tuple[Opened, list[str]], run: RunFolder, tmp_path: Path
) -> None:
    found = read_ablation(done[0].folder)
    assert found.shorter is not None
    (file,) = deliver(done[0].parent, "json", tmp_path, prompt="shorter").files
    told = json.loads(Path(file.path).read_text())
    assert told["system"]["template"] == found.shorter.template
    assert told["provenance"]["run"] == "ablation"
    assert told["provenance"]["verdicts"]["Original"] == "better"
    assert all(gap <= 0 for gap in told["provenance"]["floor_gaps"].values())
    with pytest.raises(ConfigError, match="has no prompt 'shorter'"):
        deliver(run, "json", tmp_path, prompt="shorter")


def test_a_budget_is_never_overshot_and_what_it_leaves_out_is_said(run: RunFolder, tmp_path: Path) -> None:
    mine = copied(run, tmp_path)
    with pytest.raises(BudgetError, match="give --max-requests"):
        opened(mine, budget={"max_requests": 50})
    at = opened(mine, budget={"max_requests": 2500})
    texts = ablated(at)
    assert len(texts) <= 2500
    found = read_ablation(at.folder)
    assert found.unpaid
    assert "unpaid" in "\n".join(conclude(at.folder)[0])
    more = opened(mine)
    again = ablated(more)
    assert len(texts) + len(again) == read_ablation(more.folder).spend["reserved"] <= more.bill.total
    assert not read_ablation(more.folder).unpaid


def test_another_prompt_of_the_run_is_an_ablation_of_its_own(run: RunFolder, tmp_path: Path) -> None:
    at = opened(copied(run, tmp_path), "Original", ablate={"combinations": False, "kinds": ["added"]})
    assert at.folder.path.name == f"ablation-{at.terms.subject.candidate.id}"
    ablated(at)
    found = read_ablation(at.folder)
    assert {one.name: one.fate for one in found.findings["added"]}["ignore"] == "helps"
    assert found.shorter is None
    assert "no clauses" in found.offer["reason"]


def test_an_edited_space_another_margin_and_unknown_names_are_refused(run: RunFolder, tmp_path: Path) -> None:
    mine = copied(run, tmp_path)
    with pytest.raises(ConfigError, match="has no prompt 'D9'; it has Original, Full"):
        opened(mine, "D9")
    with pytest.raises(ConfigError, match="unknown change 'out' in --only; known: left-out, added"):
        asked(["out"], None, None)
    at = opened(mine, ablate={"combinations": False})
    with pytest.raises(ResumeRefused, match="margin"):
        opened(mine, ablate={"combinations": False, "margin": 0.5})
    with pytest.raises(ConfigError, match="is an ablation already"):
        opened(load_run(mine.path, at.folder.path.name))
    edited = tmp_path / "edited.yaml"
    edited.write_text(Path(run.config.space).read_text().replace("Keep it short.", "Keep it long."))
    other = replace(mine, config=mine.config.model_copy(update={"space": str(edited)}))
    with pytest.raises(ResumeRefused, match="space"):
        opened(other)
