from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender.contracts import Judge
from defender.identities import NO_PERSONA, paper_identities
from defender.plan import Ladder, Panel, cells, request_for, reveal, sampling_seed
from defender.records import Axis, Candidate, Grade, Identity, Item, Response, Sampling, Split

PLAIN = Candidate("You are a helpful assistant.")
FAIR = Candidate("You are a fair assistant.")
MAN, WOMAN = Identity("a man", "Gender", "I am a man."), Identity("a woman", "Gender", "I am a woman.")


def items(benchmark: str, count: int) -> tuple[Item, ...]:
    return tuple(Item(f"{benchmark}/{number}", benchmark, "", {"number": number}) for number in range(count))


@dataclass(frozen=True)
class Sums:
    """A benchmark that asks for a successor."""

    sampling: Sampling = field(default_factory=Sampling)
    name: str = "sums"
    axis: Axis = "utility"
    protocol: str = "successors"
    judge: Judge | None = None

    def items(self, split: Split) -> Sequence[Item]:
        return items(self.name, 3)

    def rows(self) -> Sequence[Item]:
        return items(self.name, 3)

    def ask(self, item: Item) -> str:
        return f"What follows {item.payload['number']}?"

    def gold(self, item: Item) -> Response | None:
        return None

    async def grade(self, item: Item, response: Response) -> Grade:
        raise NotImplementedError


PANEL = Panel("search", (MAN, WOMAN), {"sums": items("sums", 8), "riddles": items("riddles", 5)}, 2, NO_PERSONA)


def test_every_candidate_answers_the_same_cells() -> None:
    one, other = ([cell[1:] for cell, _, _ in cells(candidate, PANEL)] for candidate in (PLAIN, FAIR))
    assert one == other
    assert {cell.candidate for cell, _, _ in cells(FAIR, PANEL)} == {FAIR.id}


def test_every_identity_answers_every_item_in_every_repeat_once() -> None:
    found = [cell for cell, _, _ in cells(PLAIN, PANEL)]
    assert len(found) == len(set(found)) == PANEL.cells_per_candidate == 3 * 2 * 13
    assert {cell.identity for cell in found} == {"a man", "a woman", "no_persona"}


def test_cells_come_item_by_item_so_that_pairs_stay_together() -> None:
    found = list(cells(PLAIN, PANEL))
    assert [cell.item for cell, _, _ in found[:6]] == ["sums/0"] * 3 + ["sums/1"] * 3
    assert all(cell.identity == who.key and cell.item == item.id for cell, who, item in found)


def test_held_out_phrasings_take_turns_over_the_items_and_are_the_same_for_everyone_on_one() -> None:
    ways = ("Me? A {}.", "Note: {}.")
    who = tuple(replace(one, held_out=tuple(way.format(one.key) for way in ways)) for one in (MAN, WOMAN))
    panel = Panel("confirm", who, {"sums": items("sums", 20)}, 1, NO_PERSONA, phrasings="held_out")
    said: dict[str, dict[str, str]] = {}
    for cell, identity, item in cells(PLAIN, panel):
        assert cell.identity == identity.key
        said.setdefault(item.id, {})[identity.key] = identity.sentence
    turns = [{who[0].held_out.index(one["a man"]), who[1].held_out.index(one["a woman"])} for one in said.values()]
    assert all(len(turn) == 1 for turn in turns)
    assert set.union(*turns) == {0, 1}
    assert all(one["no_persona"] == "" for one in said.values())
    assert [cell for cell, _, _ in cells(PLAIN, panel)] == [
        cell for cell, _, _ in cells(PLAIN, replace(panel, phrasings="same"))
    ]


def test_a_panel_without_a_reference_asks_its_identities_only() -> None:
    panel = Panel("confirm", paper_identities(), {"sums": items("sums", 4)})
    assert len(panel.asked) == 31
    assert panel.cells_per_candidate == 124


def test_a_judge_that_is_paid_is_planned_for_on_every_cell_it_reads() -> None:
    panel = replace(PANEL, verdicts={"riddles": 1})
    assert panel.cells_per_candidate == 3 * 2 * (8 + 2 * 5)
    assert (panel.price("sums"), panel.price("riddles")) == (1, 2)
    assert panel.first(0.5).verdicts == {"riddles": 1}


@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=4), st.integers(2, 40))
def test_blocks_are_prefixes_of_one_another(shares: list[float], count: int) -> None:
    panel = Panel("search", (MAN, WOMAN), {"sums": items("sums", count), "riddles": items("riddles", 2)})
    kept = [panel.first(share).items for share in sorted(shares)]
    for smaller, larger in zip(kept, [*kept[1:], panel.items], strict=True):
        for name in panel.items:
            assert len(smaller[name]) >= 2
            assert larger[name][: len(smaller[name])] == smaller[name]


def test_the_first_share_keeps_everything_but_the_items() -> None:
    part = PANEL.first(0.5)
    assert {name: len(kept) for name, kept in part.items.items()} == {"sums": 4, "riddles": 3}
    assert (part.split, part.identities, part.repeats, part.reference) == ("search", (MAN, WOMAN), 2, NO_PERSONA)
    assert PANEL.first(1.0) == PANEL


def test_a_ladder_says_what_its_finals_may_cost_with_the_baseline_beside_them() -> None:
    ladder = Ladder((0.25, 0.5, 1.0), (4, 2))
    cells = [PANEL.first(share).cells_per_candidate for share in ladder.shares]
    assert ladder.race == 1
    assert ladder.cost(PANEL, 64) == 5 * (cells[1] - cells[0]) + 3 * (cells[2] - cells[1])
    assert ladder.cost(PANEL, 1) == 2 * (cells[2] - cells[0]), "no more than there are candidates"
    assert Ladder((0.5, 1.0)).cost(PANEL, 64) == 0


@pytest.mark.parametrize(
    ("sizes", "shares"), [((1, 1, 2), (0.25, 0.5, 1.0)), ((3,), (1.0,)), ((1, 1, 1), (1 / 3, 2 / 3, 1.0))]
)
def test_block_sizes_become_cumulative_shares(sizes: tuple[int, ...], shares: tuple[float, ...]) -> None:
    assert reveal(sizes) == shares


def test_the_sampling_seed_is_the_same_for_every_candidate_and_identity() -> None:
    bench = Sums(Sampling(temperature=1.0))
    item = items("sums", 1)[0]
    asked = [request_for(c, who, bench, item, 1) for c in (PLAIN, FAIR) for who in (MAN, WOMAN, NO_PERSONA)]
    assert {request.seed for request in asked} == {sampling_seed("sums", "sums/0", 1)}
    assert len({request.key("model") for request in asked}) == 6


def test_the_sampling_seed_differs_between_items_repeats_and_benchmarks() -> None:
    drawn = {sampling_seed(b, str(i), r) for b in ("sums", "riddles") for i in range(50) for r in range(3)}
    assert len(drawn) == 300
    assert sampling_seed("a", "b", 1) != sampling_seed("ab", "", 1)


def test_the_sampling_seed_is_the_same_on_every_machine() -> None:
    assert sampling_seed("mmlu", "anatomy/7", 0) == 1900501077


@given(st.text(), st.text(), st.integers(0, 100))
def test_the_sampling_seed_fits_a_signed_32_bit_number(benchmark: str, item: str, repeat: int) -> None:
    assert 0 <= sampling_seed(benchmark, item, repeat) < 2**31


def test_a_request_at_temperature_zero_has_no_seed_but_a_repeat() -> None:
    first, second = (request_for(PLAIN, MAN, Sums(), items("sums", 3)[2], repeat) for repeat in (0, 1))
    assert first.messages == (("system", "You are a helpful assistant. I am a man."), ("user", "What follows 2?"))
    assert first.seed is None
    assert first.key("model") != second.key("model")
