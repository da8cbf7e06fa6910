"""Where a run is kept and who works on it: a file for this process alone, or a server where workers may join."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from defender.address import Address
from defender.build import build_engine, in_flight
from defender.config import RunConfig, restore_config
from defender.contracts import Engine, Meter
from defender.errors import ConfigError, ResumeRefused, StoreError
from defender.journal import Journal
from defender.ledger import Ledger
from defender.purse import limits_of, prices_of
from defender.runs import RunFolder
from defender.seal import card_in_words
from defender.sharing import Shared
from defender.working import LEASE_S, WAIT_S, Leases, Patience, WhileHeld, Worker

if TYPE_CHECKING:
    from defender.store import SqlStore

BEGUN, JOINING = "begun", "joining"
"""Kinds of the notes that say which run a schema on a server holds, and what a worker needs to know."""

OWED = 1024
"""Requests handed to the queue at once: several workers' worth."""

MakeEngine = Callable[[RunConfig, Meter], Engine]


def open_store(folder: RunFolder) -> SqlStore:
    """Open the store of a run for the process that owns it.

    Raises:
        StoreError: it cannot be opened, or another process owns it.
        ResumeRefused: the server has a run of that name with another configuration.
    """
    from defender.store import SqlStore

    store = SqlStore(folder.database)
    if folder.server is None:
        return store
    from defender.store.queue import SqlQueue

    try:
        begun, now = store.notes(BEGUN).get("run"), {"digest": folder.digest, "workers": folder.config.speed.workers}
        if begun is not None and begun["digest"] != folder.digest:
            raise ResumeRefused(
                f"{folder.server} holds a run of that name with another configuration (digest "
                f"{str(begun['digest'])[:12]}, this one's is {folder.digest[:12]}); name this one otherwise with --run"
            )
        if begun != now:
            store.note(BEGUN, "run", now)
        SqlQueue(store.database).announce()  # before anything else: a worker that looks now sees no ended run
    except BaseException:
        store.close()
        raise
    return store


def wanted(config: RunConfig) -> int:
    """Return how many cells are worked on at once."""
    return max(OWED, in_flight(config)) if config.speed.workers != "none" else in_flight(config)


def shared(folder: RunFolder, store: SqlStore, engine: Engine, ledger: Ledger, warn: Callable[[str], None]) -> Engine:
    """Return the engine itself, or one that lets workers answer where the run takes them; started is neither."""
    config = folder.config
    if config.speed.workers == "none":
        return engine
    from defender.store.queue import SqlQueue

    queue = SqlQueue(store.database)
    store.note(JOINING, "run", {"config": config.model_dump(mode="json")})
    local = (
        Worker(worker_name(), queue, engine, ledger.journal, in_flight(config))
        if config.speed.workers == "join"
        else None
    )
    return Shared(engine, queue, store, ledger, local, warn)


@dataclass(frozen=True)
class Joining:
    """What a worker brings along; None leaves it to the run.

    Attributes:
        base_url, model, api_key_env: its own endpoint.
        in_flight: requests awaiting it at once.
        wait, lease: seconds; see ``working``.
    """

    base_url: str | tuple[str, ...] | None = None
    model: str | None = None
    api_key_env: str | None = None
    in_flight: int | None = None
    wait: float = WAIT_S
    lease: float = LEASE_S


async def join(
    address: Address, brings: Joining, tell: Callable[[str], None], make_engine: MakeEngine = build_engine
) -> tuple[int, str]:
    """Answer requests of a running search or measurement until it ends; return how many, and why it ended.

    Raises:
        StoreError: no such run, or its database was lost for too long. ConfigError: the run takes no workers.
        EngineDown: the worker's own endpoint. ResumeRefused: it serves another model than the run measures.
    """
    from defender.store.queue import SqlQueue

    store, config, card = await _begun(address, brings, tell)
    try:
        async with Journal(store) as journal:
            # The time at work is counted by whoever leads the run: here the clock stands still.
            ledger = Ledger(journal, store.spend(), limits_of(config), clock=lambda: 0.0)
            leases, till = Leases(), ledger.till("model", prices_of(config)["model"])
            engine = make_engine(config, WhileHeld(till, leases, lambda asked: asked.key(card["fingerprint"])))
            try:
                await engine.start()
                _same_model(card, engine)
                worker = Worker(
                    worker_name(), SqlQueue(store.database), engine, journal, in_flight(config),
                    Patience(brings.lease, brings.wait), ledger.hold, tell, leases,
                )  # fmt: skip
                tell(f"joined {address}: {card_in_words(card)}, {worker.in_flight} in flight")
                with _interrupting(worker):
                    return_value = await worker.run()
                return worker.answered, return_value
            finally:
                await engine.close()
    finally:
        store.close()


def worker_name() -> str:
    """Return a name that no other worker has: machine, process, chance."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"


async def _begun(
    address: Address, brings: Joining, tell: Callable[[str], None]
) -> tuple[SqlStore, RunConfig, dict[str, Any]]:
    """Open the run and read what a worker is told; one that has not begun yet is waited for."""
    from defender.store import SqlStore
    from defender.store.server import ServerDatabase

    until = time.monotonic() + brings.wait
    said = False
    while True:
        late = time.monotonic() > until
        database = ServerDatabase(address, "worker")
        try:
            if late or database.found():
                store = SqlStore(address, database=database)
                if (told := _told(store, address, brings)) is not None:
                    return store, *told
                if late:
                    raise StoreError(f"{address} did not begin within {brings.wait:.0f} s; start it, then join again")
        except BaseException:
            database.close()
            raise
        database.close()
        if not said:
            tell(f"waiting up to {brings.wait:.0f} s for {address} to begin")
            said = True
        await asyncio.sleep(1.0)


def _told(store: SqlStore, address: Address, brings: Joining) -> tuple[RunConfig, dict[str, Any]] | None:
    """Return the run's configuration with the worker's own endpoint, and the model's card; None before it begins."""
    begun = store.notes(BEGUN).get("run")
    if begun is not None and begun["workers"] == "none":
        raise ConfigError(f"{address} takes no workers; start it with --workers join")
    joining, card = store.notes(JOINING).get("run"), store.notes("card").get("model")
    if begun is None or joining is None or card is None:
        return None
    config = restore_config(joining["config"])
    own: dict[str, Any] = {"base_url": brings.base_url, "name": brings.model, "api_key_env": brings.api_key_env}
    model = {key: value for key, value in own.items() if value is not None}
    # Another address of the same model stands for the run's, as an alias does.
    model["alias"] = str(card["endpoint"])
    model["system_role"] = card.get("system_role") or "system"
    if brings.base_url is not None:
        model |= {"vllm": "", "weights": ()}
    speed = {"in_flight": brings.in_flight or 0}
    return config.model_copy(
        update={
            "model": config.model.model_copy(update=model),
            "speed": config.speed.model_copy(update=speed),
        }
    ), dict(card)


def _same_model(card: dict[str, Any], engine: Engine) -> None:
    if engine.card.fingerprint != card["fingerprint"]:
        raise ResumeRefused(
            f"expected the model that the run measures ({card_in_words(card)}), "
            f"got {card_in_words(asdict(engine.card))}; its answers "
            "could not be mixed: serve the same model, revision and server version, or give --model and "
            "--base-url of one that does"
        )


@contextmanager
def _interrupting(worker: Worker) -> Iterator[None]:
    """While inside, Ctrl-C and a request to terminate end the work in order; a second one ends it at once."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def once() -> None:
        for one in signals:
            loop.remove_signal_handler(one)
        worker.stop("stopped by the user; what was asked is kept, the rest was given back")

    try:
        for one in signals:
            loop.add_signal_handler(one, once)
    except (NotImplementedError, RuntimeError, ValueError):
        yield  # no signals here (Windows, or not the main thread)
        return
    try:
        yield
    finally:
        for one in signals:
            loop.remove_signal_handler(one)
