from __future__ import annotations

import json
import socket
from pathlib import Path

import datasets
import pytest

from defender.benchmarks.source import Source, Table
from defender.errors import DataMissing

REVISION = "0123456789abcdef0123456789abcdef01234567"
TABLE = Table("someone/spoons", REVISION, "spoons", ("question", "answer"), "all", "test")


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
    card = "---\nconfigs:\n- config_name: all\n  data_files:\n  - split: test\n    path: all/test-*\n---\n"
    (data / folder / "README.md").write_text(card, encoding="utf-8")


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


def test_offline_and_gated_data_say_what_stands_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    gated = Table("someone/spoons", REVISION, "spoons", ("question",), "all", "test", access="gated: sign here")
    with pytest.raises(DataMissing) as caught:
        Source().rows(gated)
    for part in ("someone/spoons", REVISION, "gated: sign here", ["--data DIR", "spoons"][0]):
        assert part in str(caught.value)


def test_rows_that_exist_only_locally_are_not_sought_on_the_hub(no_network: None) -> None:
    with pytest.raises(DataMissing, match="no public hub copy"):
        Source().rows(Table("", "", "spoons/old", ("question",)))


def test_the_origin_names_id_and_revision_but_no_path(tmp_path: Path) -> None:
    assert Source(tmp_path).origin(TABLE) == "someone/spoons all/test @ 0123456789ab, local copy"
    assert Source().origin(TABLE).endswith("the hub")


def test_every_pinned_revision_is_a_full_commit_hash() -> None:
    from defender.benchmarks import do_not_answer, gsm8k, mmlu, strong_reject, xstest

    tables = [do_not_answer.TABLE, gsm8k.TABLE, xstest.TABLE, *mmlu.TABLES.values(), *strong_reject.TABLES.values()]
    for table in tables:
        assert table.hub_id.count("/") == (1 if table.hub_id else 0)
        assert len(table.revision) in (0, 40)
