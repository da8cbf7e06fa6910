from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from defender.benchmarks.deck import Deck, content_id, interleaved, kin_of, split_of
from defender.records import Item


def item(number: int, stratum: str = "all") -> Item:
    return Item(content_id("question", number), "toy", stratum, {"n": number})


def test_ids_depend_on_content_only() -> None:
    assert content_id("q", ["a", "b"]) == content_id("q", ["a", "b"])
    assert content_id("q", ["a", "b"]) != content_id("q", ["b", "a"])


def test_ids_and_splits_are_the_same_on_every_machine_and_version() -> None:
    assert content_id("What is a spoon?") == "2612dbfa6190bb0b"
    assert [split_of(f"item-{n}") for n in range(8)] == [
        "confirm",
        "search",
        "test",
        "test",
        "search",
        "confirm",
        "test",
        "confirm",
    ]


def test_a_new_row_moves_no_other_row_to_another_split() -> None:
    few = Deck.deal(item(n) for n in range(100))
    more = Deck.deal(item(n) for n in range(150))
    for split, items in few.by_split.items():
        assert {i.id for i in items} <= {i.id for i in more.by_split[split]}


def test_splits_hold_about_40_40_20_percent() -> None:
    deck = Deck.deal(item(n) for n in range(5000))
    shares = {split: len(items) / 5000 for split, items in deck.by_split.items()}
    assert abs(shares["search"] - 0.4) < 0.02
    assert abs(shares["confirm"] - 0.4) < 0.02
    assert abs(shares["test"] - 0.2) < 0.02


def test_a_repeated_item_is_kept_once_and_counted() -> None:
    first, again = item(1, "one"), item(1, "two")
    deck = Deck.deal([first, item(2), again])
    assert (len(deck), deck.repeated) == (2, 1)
    assert first in [i for items in deck.by_split.values() for i in items]


def test_items_of_one_kin_share_a_split() -> None:
    items = [item(n) for n in range(60)]
    deck = Deck.deal(items, kin=lambda found: str(found.payload["n"] // 3))
    assert len(deck) == 60
    for first in range(0, 60, 3):
        group = {i.id for i in items[first : first + 3]}
        assert any(group <= {i.id for i in found} for found in deck.by_split.values())


def test_kin_is_blind_to_case_white_space_punctuation_and_order() -> None:
    assert kin_of("Which of  these?", "a", "B!") == kin_of("which of these", "b", "A")
    assert kin_of("Which of these?", "a") != kin_of("Which of those?", "a")
    assert kin_of("a b") != kin_of("a", "b")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from("abc")), unique_by=lambda pair: pair[0], max_size=60),
    st.integers(0, 3),
)
def test_every_prefix_is_stratified_whatever_the_order_of_the_rows(pairs: list[tuple[int, str]], seed: int) -> None:
    items = [item(n, stratum) for n, stratum in pairs]
    ordered = interleaved(items, seed)
    assert sorted(i.id for i in ordered) == sorted(i.id for i in items)
    assert interleaved(reversed(items), seed) == ordered
    assert interleaved(interleaved(items), seed) == ordered
    for size in range(len(ordered) + 1):
        for stratum in "abc":
            whole = sum(i.stratum == stratum for i in items)
            seen = sum(i.stratum == stratum for i in ordered[:size])
            assert abs(seen - whole * size / max(1, len(items))) <= 2
