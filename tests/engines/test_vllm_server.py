"""A server is started, used, shared and ended: real processes throughout, with a stand-in for vLLM itself."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from defender.contracts import Engine, Meter
from defender.engines.vllm_guard import born
from defender.engines.vllm_lease import Berth, Record, read_record, running
from defender.engines.vllm_process import _planned
from defender.errors import ConfigError, EngineDown, StoreError
from defender.records import Request, Sampling
from tests.contracts.engine import EngineContract
from tests.engines.fake_vllm import REPO, model
from tests.engines.vllm_place import HELLO, Place, group, hears_ctrl_c, over


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    monkeypatch.setenv("PYTHONPATH", made.env["PYTHONPATH"])  # for the look whether there is a vLLM
    return made


class TestContract(EngineContract):
    @asynccontextmanager
    async def opened(self, meter: Meter | None = None) -> AsyncIterator[Engine]:
        engine = self._place.engine(meter=meter)
        try:
            yield engine
        finally:
            await engine.close()

    @pytest.fixture(autouse=True)
    def _here(self, place: Place) -> None:
        self._place = place

    def reached(self) -> int:
        asked = self._place.asked
        return asked.read_text().count("\n") if asked.exists() else 0

    def hopeless(self) -> Request:
        return Request((("user", "long " * 2000),), Sampling())


async def test_a_model_is_served_from_a_folder_and_its_server_ends_with_its_user(place: Place) -> None:
    engine = place.engine()
    await engine.start()
    record = place.record()
    assert (await engine.complete(HELLO)).text == "tiny was asked: Hello"
    assert len(group(record)) == 2, "the server and its worker"
    assert "vLLM: loading weights 50 %" in place.told
    assert "Loading safetensors" in place.log.read_text()
    await engine.close()
    assert over(record)
    assert running(place.home) == []
    await engine.close()


async def test_neither_port_nor_folder_counts_in_the_card_but_what_the_files_say_does(place: Place) -> None:
    cards = []
    for folder, weights in (("here", b"weights"), ("there", b"weights"), ("elsewhere", b"other")):
        place.model = model(place.folder / folder)
        (place.model / "model.safetensors").write_bytes(weights)
        engine = place.engine()
        await engine.start()
        cards.append(engine.card)
        await engine.close()
    assert cards[0].model == "tiny"
    assert cards[0].context == 2048
    assert cards[0].fingerprint == cards[1].fingerprint != cards[2].fingerprint


async def test_flags_that_change_answers_are_in_the_card_and_speed_is_not(place: Place) -> None:
    prints = []
    for more in ({}, {"max_model_len": 512}, {"dtype": "float16"}, {"flags": ("--enable-prefix-caching",)}):
        engine = place.engine(place.launch(**more))
        await engine.start()
        prints.append(engine.card.fingerprint)
        await engine.close()
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


async def test_a_second_user_shares_the_server_and_the_last_one_ends_it(place: Place) -> None:
    first, second = place.engine(), place.engine()
    await first.start()
    record = place.record()
    await second.start()
    assert place.record() == record
    assert any("using the vLLM server that runs" in words for words in place.told)
    await first.close()
    assert any("goes on: others use it" in words for words in place.told)
    assert (await second.complete(HELLO)).text == "tiny was asked: Hello"
    await second.close()
    assert over(record)


async def test_two_that_start_at_once_share_one_server(place: Place) -> None:
    engines = [place.engine() for _ in range(3)]
    await asyncio.gather(*(engine.start() for engine in engines))
    record = place.record()
    assert {engine.url for engine in engines} == {record.url}
    await asyncio.gather(*(engine.close() for engine in engines))
    assert over(record)


async def test_other_flags_are_another_server(place: Place) -> None:
    first, second = place.engine(), place.engine(place.launch(max_model_len=512))
    await first.start()
    await second.start()
    assert first.url != second.url
    await first.close()
    await second.close()
    assert running(place.home) == []


async def test_a_failed_start_says_why_and_leaves_nothing(place: Place) -> None:
    engine = place.engine(place.launch("gated"))
    with pytest.raises(EngineDown, match=r"did not start: the hub does not give .* HF_TOKEN .* Its log: .*vllm\.log"):
        await engine.start()
    assert running(place.home) == []


async def test_an_older_failure_in_the_same_log_is_not_blamed(place: Place) -> None:
    place.log.parent.mkdir()
    place.log.write_text("torch.OutOfMemoryError: CUDA out of memory\n")
    with pytest.raises(EngineDown, match="hub cannot be reached"):
        await place.engine(place.launch("offline")).start()


async def test_a_start_that_takes_too_long_is_given_up(place: Place) -> None:
    engine = place.engine(place.launch("slow", start_s=0.5))
    with pytest.raises(EngineDown, match="was not ready within"):
        await engine.start()
    assert running(place.home) == []


async def test_a_server_that_dies_while_in_use_is_explained(place: Place) -> None:
    engine = place.engine(place.launch("brief"))
    await engine.start()
    place.end.touch()
    assert "out of memory" in await engine.ended()
    with pytest.raises(EngineDown, match=r"ended: out of memory.*What was answered so far is kept"):
        await asyncio.gather(*(engine.complete(HELLO) for _ in range(100)))
    await engine.close()


async def test_a_server_deaf_to_sigterm_is_killed(place: Place) -> None:
    engine = place.engine(place.launch("deaf", grace_s=0.5))
    await engine.start()
    record = place.record()
    await engine.close()
    assert over(record)


async def test_a_server_whose_log_is_gone_is_used_by_others_all_the_same(place: Place) -> None:
    first, second = place.engine(), place.engine()
    await first.start()
    place.log.unlink()
    await second.start()
    assert (await second.complete(HELLO)).text == "tiny was asked: Hello"
    await first.close()
    await second.close()


async def test_a_log_that_cannot_be_written_is_said_before_anything_is_started(place: Place) -> None:
    place.log.parent.write_text("no folder")
    with pytest.raises(StoreError, match=r"cannot write vLLM's log .*vllm\.log: "):
        await place.engine().start()
    assert not Berth(place.launch().digest(), place.home).used()


def test_an_ipv6_host_has_brackets_in_its_address(place: Place) -> None:
    for host in ("::1", "::"):
        assert _planned(place.launch(host=host), place.log).url.startswith("http://[::1]:")


async def test_a_port_in_use_is_said_before_anything_is_started(place: Place) -> None:
    first = place.engine()
    await first.start()
    port = int(first.url.rpartition(":")[2].partition("/")[0])
    with pytest.raises(ConfigError, match=rf"port {port} on 127\.0\.0\.1 is in use .*--base-url"):
        await place.engine(place.launch(port=port, max_model_len=512)).start()
    await first.close()


async def test_a_guard_that_is_killed_takes_its_server_along(place: Place) -> None:
    engine = place.engine()
    await engine.start()
    record = place.record()
    os.kill(record.guard, signal.SIGKILL)
    assert over(record)
    await engine.close()


async def test_a_server_without_guard_is_ended_by_the_next_start(place: Place) -> None:
    words = [sys.executable, "-c", "import time; time.sleep(600)"]
    orphan = subprocess.Popen(words, start_new_session=True)  # noqa: ASYNC220
    engine = place.engine()
    launch = place.launch()
    place.home.mkdir()
    left = Record("http://127.0.0.1:1/v1", "tiny", "gone.log", 0, 999_999_999, "1", orphan.pid, born(orphan.pid))
    Berth(launch.digest(), place.home).write(left)
    await engine.start()
    assert orphan.wait(120) == -signal.SIGTERM
    assert place.record().server != left.server
    await engine.close()


USER = """
import asyncio, sys
from tests.engines.vllm_place import HELLO, Place
from pathlib import Path
place = Place.__new__(Place)
folder = Path(sys.argv[1])
place.folder, place.model = folder, folder / "tiny"
place.home, place.log, place.asked = folder / "servers", folder / "run" / "vllm.log", folder / "asked.jsonl"
place.env, place.told, place.end = {"PYTHONPATH": sys.argv[2]}, [], folder / "end"
async def use():
    engine = place.engine(place.launch(sys.argv[3]))
    try:
        await engine.start()
        print((await engine.complete(HELLO)).text, flush=True)
        await asyncio.sleep(600)
    finally:
        await engine.close()
asyncio.run(use())
"""


def user(place: Place, how: str = "") -> subprocess.Popen[str]:
    words = [sys.executable, "-c", USER, str(place.folder), place.env["PYTHONPATH"], how]
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPO, preexec_fn=hears_ctrl_c
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_user_that_is_ended_takes_the_server_along(place: Place, number: signal.Signals) -> None:
    using = user(place)
    assert using.stdout is not None
    assert using.stdout.readline() == "tiny was asked: Hello\n"
    record = place.record()
    using.send_signal(number)
    using.communicate(timeout=120)
    assert over(record)
    assert running(place.home) == []


def test_ctrl_c_while_the_server_starts_ends_it_too(place: Place) -> None:
    using = user(place, "slow")
    limit = time.monotonic() + 120
    while not (found := running(place.home)) and time.monotonic() < limit:
        time.sleep(0.05)
    using.send_signal(signal.SIGINT)
    using.communicate(timeout=120)
    assert over(found[0])


def test_a_server_that_its_guard_is_ending_is_used_by_nobody(tmp_path: Path) -> None:
    berth = Berth("digest", tmp_path)
    assert not berth.used()
    with berth.lease.open() as guard, berth.lease.open() as user:
        fcntl.flock(guard, fcntl.LOCK_EX)  # from here on, and its record says so a moment later only
        assert not berth.used()
        assert berth.hold() is None
        fcntl.flock(guard, fcntl.LOCK_UN)
        fcntl.flock(user, fcntl.LOCK_SH)
        assert berth.used()


def test_a_torn_record_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"url": ')
    assert read_record(tmp_path / "a.json") is None
    assert running(tmp_path) == []
