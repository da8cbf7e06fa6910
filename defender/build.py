"""The one place where names become objects. Rooms are imported when they are needed, so that commands start fast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defender.bias import PB_AXES
from defender.catalogue import build_benchmarks, own_files
from defender.config import RunConfig
from defender.contracts import Benchmark, Engine, GrowingProposer, Meter, Proposer
from defender.errors import ConfigError
from defender.formats import read_artefact
from defender.gates import Gate
from defender.identities import load_identities, paper_identities
from defender.judging import Judging
from defender.layout import build_check_panel, build_floors, build_gates, build_measure_panel, build_search_plan
from defender.plan import Panel
from defender.purse import check_prices
from defender.records import Candidate, Identity, digest_of
from defender.rivals import check_strategy
from defender.runs import RunFolder
from defender.search import SearchPlan
from defender.settings import EMBEDDED, ModelConfig, ServerConfig
from defender.space import Space, load_space
from defender.writing import build_pool

if TYPE_CHECKING:
    from defender.engines.endpoint import Server
    from defender.engines.vllm_launch import Launch


IN_FLIGHT = 256
"""The most requests open at one server unless said otherwise."""


def space_path(name: str) -> Path:
    """Find a search space: a path, or the bare name of one that ships.

    Raises:
        ConfigError: neither exists; lists what ships.
    """
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or "/" in name:
        return path
    package = Path(__file__).parent
    homes = (package / "search_spaces", package.parent / "search_spaces")
    for home in homes:
        if (home / f"{name}.yaml").is_file():
            return home / f"{name}.yaml"
    ships = sorted({found.stem for home in homes for found in home.glob("*.yaml")})
    raise ConfigError(f"no search space named '{name}'; give the path of a YAML file, or one of: {', '.join(ships)}")


def build_space(config: RunConfig) -> Space:
    """Load the search space. Raises SpaceError with file and line."""
    return load_space(space_path(config.space))


def build_identities(config: RunConfig) -> tuple[Identity, ...]:
    """Load the identities. Raises SpaceError with file and line."""
    return paper_identities() if config.identities == "paper" else load_identities(Path(config.identities))


def _need_pb_axis(benchmarks: Mapping[str, Benchmark]) -> None:
    if not any(benchmark.axis in PB_AXES for benchmark in benchmarks.values()):
        raise ConfigError(
            f"none of the benchmarks {', '.join(benchmarks)} measures {' or '.join(PB_AXES)}, and PB is a spread of "
            "those; add one with --benchmarks"
        )


def _unheard(_words: str) -> None:
    """Hear nothing."""


def build_engine(
    config: RunConfig, meter: Meter | None = None, log: Path | None = None, told: Callable[[str], None] = _unheard
) -> Engine:
    """Build the engine; nothing is contacted or started until ``start``.

    Args:
        config: the run's.
        meter: pays for every request.
        log: where the log of a server that is started here goes; None for a file of its own under ``runs``.
        told: hears how far such a start is.
    """
    if config.model.vllm:
        from defender.engines.vllm_server import VllmServer

        def ask(url: str, name: str, alias: str) -> Engine:
            return _served(config, meter, {"base_url": url, "model": name, "name": alias, "api_key": "none"})

        return VllmServer(build_launch(config.model), ask, log=log or Path("runs") / "vllm.log", told=told)
    if config.model.name == EMBEDDED:
        from defender.engines.embedded.chat import Embedded

        return Embedded(meter=meter)
    model = config.model
    return _served(config, meter, {"base_url": _servers(model), "model": model.name, "name": model.alias})


def _servers(model: ModelConfig) -> tuple[Server, ...]:
    from defender.engines.endpoint import Server

    urls = _urls(model)
    return tuple(Server(url, weight) for url, weight in zip(urls, model.weights or (1.0,) * len(urls), strict=True))


def _urls(model: ModelConfig) -> tuple[str, ...]:
    return (model.base_url,) if isinstance(model.base_url, str) else model.base_url or ("",)


def build_launch(model: ModelConfig) -> Launch:
    """Return what vLLM is started with. ``vllm`` must be set."""
    from defender.engines.vllm_launch import Launch

    server = {field: getattr(model.server, field) for field in ServerConfig.model_fields}
    return Launch(model=model.vllm, name="" if model.name == EMBEDDED else model.name, **server)


def _served(config: RunConfig, meter: Meter | None, where: Mapping[str, Any]) -> Engine:
    """Build the engine that asks a server; ``where`` says which."""
    from defender.engines.served import Endpoint, Served

    model = config.model
    endpoint = Endpoint(
        **where,
        api_key_env=model.api_key_env,
        timeout_s=model.timeout_s,
        max_in_flight=config.speed.in_flight or IN_FLIGHT,
        max_attempts=model.max_attempts,
        system_role=model.system_role,
    )
    return Served(endpoint, meter=meter)


def in_flight(config: RunConfig) -> int:
    """Return the requests to keep awaiting the engine at once: what all servers may have open."""
    return (config.speed.in_flight or IN_FLIGHT) * len(_urls(config.model))


def build_proposer(config: RunConfig, space: Space) -> Proposer:
    """Build the proposer of a search. Raises ConfigError: the space is too large for an exhaustive one."""
    name = config.search.proposes
    if name == "listed":
        from defender.proposers.listed import Listed

        return Listed(space.seed_candidates())
    if name == "exhaustive":
        from defender.proposers.exhaustive import Exhaustive

        return Exhaustive(space, most=config.search.candidates)
    from defender.proposers.sampled import Sampled

    return Sampled(space, seed=config.seed, sampler=name)


@contextmanager
def build_recorded(folder: RunFolder, space: Space, warn: Callable[[str], None]) -> Iterator[GrowingProposer]:
    """Yield the proposer of a search; what it is told is also written to the run's study, for optuna-dashboard."""
    from defender.proposers.recorded import Recorded

    proposer = Recorded(build_proposer(folder.config, space), space, folder.study, folder.name, warn)
    try:
        yield proposer
    finally:
        proposer.close()


def build_prompts(config: RunConfig) -> tuple[Candidate, ...]:
    """Return the prompts a ``measure`` is about: files where given, else the space's seeds.

    Files whose prompts would be called the same are told apart by their paths.
    """
    if not config.prompts:
        return build_space(config).seed_candidates()
    found = {name: read_artefact(Path(name)) for name in config.prompts}
    called = Counter(prompt.name for prompt in found.values())
    return tuple(
        replace(prompt, label=str(Path(name).with_suffix(""))) if called[prompt.name] > 1 else prompt
        for name, prompt in found.items()
    )


@dataclass(frozen=True)
class Prepared:
    """A run, built as far as it can be without contacting a server or making a folder.

    ``plan`` is set for a search, ``panel`` and ``prompts`` for a measurement and a check, ``gates`` for a check;
    ``space`` but for prompt files; ``pool`` where clauses are drawn from a file.
    """

    config: RunConfig
    benchmarks: dict[str, Benchmark]
    identities: tuple[Identity, ...]
    space: Space | None
    judging: Judging
    plan: SearchPlan | None = None
    panel: Panel | None = None
    prompts: tuple[Candidate, ...] = ()
    pool: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()

    @property
    def contents(self) -> dict[str, str]:
        """What the named files say, as digests: an edited space is another run, wherever the file lies."""
        said: dict[str, object] = {"identities": [asdict(identity) for identity in self.identities]}
        if self.space:
            said["space"] = asdict(self.space)
        if self.config.prompts:
            said["prompts"] = [prompt.digest for prompt in self.prompts]
        if self.pool:
            said["pool"] = self.pool
        if own := own_files(self.config):
            said["benchmarks"] = own
        return {name: digest_of(value) for name, value in said.items()}


def prepare(config: RunConfig) -> Prepared:
    """Build everything that names stand for; what is wrong with a configuration ends here.

    Raises:
        ConfigError, SpaceError: unknown names, malformed files, floors that do not parse.
        DataMissing: a dataset is absent. BudgetError: the budget cannot pay for one block.
    """
    check_prices(config)
    build_floors(config)
    prompts = () if config.command == "search" else build_prompts(config)  # before what takes time to load
    judging = Judging(config.judging)
    benchmarks, identities = build_benchmarks(config, judging), build_identities(config)
    _need_pb_axis(benchmarks)
    space = None if config.prompts else build_space(config)
    if config.command == "search":
        if space is None:
            raise ConfigError("a search needs a space, not prompt files; give --space")
        plan = build_search_plan(config, space, benchmarks, identities)
        check_strategy(config)
        plan.check_budget()
        if config.search.proposes == "exhaustive":
            build_proposer(config, space)
        return Prepared(config, benchmarks, identities, space, judging, plan=plan, pool=build_pool(config))
    if config.command == "check":
        gates = build_gates(config)
        panel = build_check_panel(config, benchmarks, identities, gates)
        return Prepared(config, benchmarks, identities, space, judging, panel=panel, prompts=prompts, gates=gates)
    panel = build_measure_panel(config, benchmarks, identities)
    return Prepared(config, benchmarks, identities, space, judging, panel=panel, prompts=prompts)
