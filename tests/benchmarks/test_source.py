from __future__ import annotations

import asyncio
import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
from aiohttp import web

from defender.benchmarks import do_not_answer, gsm8k, mbpp, mmlu, strong_reject, xstest
from defender.benchmarks.dealt import Dealt
from defender.benchmarks.deck import content_id
from defender.benchmarks.source import Source, Table
from defender.errors import DataMissing
from defender.records import Item, digest_of

REVISION = "0123456789abcdef0123456789abcdef01234567"
TABLE = Table("someone/spoons", REVISION, "spoons", ("question", "answer"), "all", "test", ("all/test-*",))
CARD = "---\nconfigs:\n- config_name: all\n  data_files:\n  - split: test\n    path: all/test-*\n---\n"


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError(f"a network call: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def lay_out(data: Path, rows: list[dict[str, object]], folder: str = "spoons") -> None:
    """Write rows the way the hub lays out a dataset with one configuration."""
    place = data / folder / "all"
    place.mkdir(parents=True)
    lines = "\n".join(json.dumps(row) for row in rows)
    (place / "test-00000-of-00001.jsonl").write_text(lines, encoding="utf-8")
    (data / folder / "README.md").write_text(CARD, encoding="utf-8")


@pytest.mark.parametrize("folder", ["spoons", "someone/spoons"])
def test_a_local_copy_is_read_in_order_without_network(tmp_path: Path, no_network: None, folder: str) -> None:
    lay_out(
        tmp_path, [{"question": "q1", "answer": 1, "extra": "x"}, {"question": "q2", "answer": 2, "extra": "y"}], folder
    )
    assert Source(tmp_path).rows(TABLE) == [{"question": "q1", "answer": 1}, {"question": "q2", "answer": 2}]


def test_reading_a_local_copy_leaves_the_progress_bars_as_they_were(tmp_path: Path) -> None:
    lay_out(tmp_path, [{"question": "q1", "answer": 1}])
    before = datasets.are_progress_bars_disabled()
    Source(tmp_path).rows(TABLE)
    assert datasets.are_progress_bars_disabled() == before


def test_a_missing_folder_is_not_replaced_by_the_hub(tmp_path: Path, no_network: None) -> None:
    (tmp_path / "mmlu").mkdir()
    with pytest.raises(DataMissing) as caught:
        Source(tmp_path).rows(TABLE)
    message = str(caught.value)
    for part in ("someone/spoons", REVISION, "a folder with mmlu", "--data DIR", "DEFENDER_DATA", "hf download"):
        assert part in message


def test_a_data_folder_that_does_not_exist_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="no such folder"):
        Source(tmp_path / "nowhere").rows(TABLE)


def test_a_copy_without_the_columns_says_which(tmp_path: Path) -> None:
    lay_out(tmp_path, [{"question": "q1", "key": 1}])
    with pytest.raises(DataMissing, match="columns question, key, without answer"):
        Source(tmp_path).rows(TABLE)


def test_a_copy_without_the_configuration_is_missing(tmp_path: Path) -> None:
    lay_out(tmp_path, [{"question": "q1", "answer": 1}])
    other = Table("someone/spoons", REVISION, "spoons", ("question",), "some", "test")
    with pytest.raises(DataMissing, match="'some' not found"):
        Source(tmp_path).rows(other)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine without a network, as the resolver reports it; returns the hosts that were asked for."""
    asked: list[str] = []

    def unknown(host: str, *arguments: object, **options: object) -> None:
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    return asked


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's; returns where the pinned commit of TABLE would lie."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub" / "datasets--someone--spoons" / "snapshots" / REVISION


@pytest.mark.parametrize("flagged", [True, False])
def test_offline_and_gated_data_say_at_once_what_stands_between(
    offline: list[str], hub: Path, monkeypatch: pytest.MonkeyPatch, flagged: bool
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", flagged)
    with pytest.raises(DataMissing) as caught:
        Source().rows(replace(TABLE, access="gated: sign here"))
    for part in ("someone/spoons", REVISION, "gated: sign here", "--data DIR", "DIR/spoons", "offline"):
        assert part in str(caught.value)
    assert len(offline) <= 1, "an unreachable hub is asked once, not again and again"


def test_what_was_downloaded_before_is_read_without_network_in_the_order_of_the_files(
    offline: list[str], hub: Path
) -> None:
    for number, name in enumerate(("train", "test")):
        (hub / "all").mkdir(parents=True, exist_ok=True)
        (hub / "all" / f"{name}-0.jsonl").write_text(json.dumps({"question": name, "answer": number}))
    (hub / "README.md").write_text(CARD.replace("test", "elsewhere"))
    both = replace(TABLE, files=("all/train-*", "all/test-*"))
    assert [row["question"] for row in Source().rows(both)] == ["train", "test"]
    assert Source().rows(TABLE) == [{"question": "test", "answer": 1}]
    assert not offline
    with pytest.raises(DataMissing, match="is this machine offline"):
        Source().rows(replace(TABLE, files=("all/test-*", "all/validation-*")))


async def spoons_csv(_: web.Request) -> web.Response:
    return web.Response(text='id,wish\n1,"a, b"\n')


async def test_a_file_at_a_commit_is_read_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    app = web.Application()
    app.router.add_get("/o/r/x.csv", spoons_csv)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/o/r"
        table = Table("", REVISION, "x", ("question",), url=f"{url}/x.csv", renamed={"wish": "question"})
        assert await asyncio.to_thread(Source().rows, table) == [{"question": "a, b"}]
        with pytest.raises(DataMissing, match=r"curl --create-dirs -Lo DIR/x/y\.csv http"):
            await asyncio.to_thread(Source().rows, replace(table, url=f"{url}/y.csv"))
    finally:
        await runner.cleanup()
    assert table.title == "o/r test @ 0123456789ab"


def test_a_file_fetched_as_told_is_read_alone_though_another_table_lies_below(tmp_path: Path) -> None:
    for place, word in (("x", "upper"), ("x/older", "lower")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "t.csv").write_text(f"question\n{word}\n")
    upper = Table("", REVISION, "x", ("question",), split="train", url="http://h/o/r/t.csv")
    assert Source(tmp_path).rows(upper) == [{"question": "upper"}]
    assert Source(tmp_path).rows(replace(upper, folder="x/older")) == [{"question": "lower"}]


def test_rows_that_exist_only_locally_are_not_sought_on_the_hub(no_network: None) -> None:
    with pytest.raises(DataMissing, match="no public copy"):
        Source().rows(Table("", "", "spoons/old", ("question",)))


def test_a_cache_that_may_not_be_written_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, [{"question": "q1", "answer": 1}])
    closed = tmp_path / "closed"
    closed.mkdir()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", closed / "cache")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed)
    assert Source(tmp_path).rows(TABLE) == [{"question": "q1", "answer": 1}]
    assert not list(closed.iterdir())


class Spoons(Dealt):
    """A benchmark of spoons."""

    def __init__(self, source: Source, table: Table) -> None:
        self.source, self.table = source, table

    def item(self, row: dict[str, Any]) -> Item:
        return Item(content_id(row["question"]), "spoons", "all", row)


def test_rows_other_than_the_pinned_ones_are_named_once_they_are_loaded(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"question": "q1", "answer": 1}, {"question": "q1", "answer": 1}]
    lay_out(tmp_path, rows)
    pinned = Spoons(Source(tmp_path), replace(TABLE, rows=2, digest=digest_of(rows)))
    said = f"someone/spoons all/test @ 0123456789ab, 2 rows, sha256 {digest_of(rows)[:12]}"
    assert pinned.origin == said
    assert (len(pinned.rows()), len(pinned.deck), pinned.deck.repeated) == (2, 1, 1)
    assert pinned.origin == said
    other = Spoons(Source(tmp_path), replace(TABLE, rows=3, digest="0" * 64))
    assert other.rows()
    assert "OTHER ROWS than the pinned ones: 2 rows, sha256 " + digest_of(rows)[:12] in other.origin
    assert "where 3 rows, sha256 000000000000 are expected" in other.origin


TABLES = {
    f"{name} {edition}".strip(): table
    for name, tables in {
        "mmlu": mmlu.TABLES,
        "gsm8k": {"": gsm8k.TABLE},
        "mbpp": mbpp.TABLES,
        "do_not_answer": {"": do_not_answer.TABLE},
        "strong_reject": strong_reject.TABLES,
        "xstest": {"": xstest.TABLE},
    }.items()
    for edition, table in tables.items()  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_pinned_by_a_full_commit_and_by_its_rows(name: str, source: Source) -> None:
    table = TABLES[name]
    assert len(table.revision) == 40
    assert table.hub_id.count("/") == 1 or table.revision in table.url
    assert bool(table.files) == bool(table.hub_id)
    rows = source.rows(table)
    assert (len(rows), digest_of(rows)) == (table.rows, table.digest)
