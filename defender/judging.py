"""The judge of a run: built before anything is contacted, opened with the run, paid from the run's budget."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Literal

from defender.contracts import Bill, Judge, Meter
from defender.costs import Unmetered
from defender.errors import ConfigError
from defender.judges.memory import Replies, Shelf
from defender.records import ModelCard, Request, Response
from defender.settings import JudgeConfig, SystemRole

if TYPE_CHECKING:
    from defender.engines.served import Served
    from defender.judges.classifier import Classifier

Judged = Literal["safety", "over_refusal"]


class Desk:
    """What a judge is paid from and where its replies are kept: the run's, once it opens; before that its own."""

    def __init__(self) -> None:
        self.meter: Meter = Unmetered()
        self.replies: Replies = Shelf()

    def admit(self, request: Request, size: int = 0) -> AbstractAsyncContextManager[Bill]:
        """Pay from the run's budget; see ``Meter``."""
        return self.meter.admit(request, size)

    def find(self, key: str) -> Response | None:
        """Return the reply kept under a key, or None. Raises StoreError."""
        return self.replies.find(key)

    async def append(self, key: str, response: Response) -> None:
        """Keep a reply; durable on return where the run is. Raises StoreError."""
        await self.replies.append(key, response)


class Judging:
    """Hands benchmarks their judges; a model behind them is started and closed with the run."""

    def __init__(self, config: JudgeConfig) -> None:
        self._config = config
        self._desk = Desk()
        self._classifier: Classifier | None = None
        self._asked = False
        self.engine: Served | None = _engine(config, self._desk) if config.kind in ("model", "guard") else None

    @property
    def card(self) -> ModelCard | None:
        """Who judges, known after ``start``; None where no benchmark asked for a judge."""
        if not self._asked:
            return None
        if self.engine is not None:
            return self.engine.card
        return self._classifier.card if self._classifier is not None else ModelCard(_screen("safety").name)

    def judge(self, axis: Judged, rubric: str) -> Judge:
        """Return the judge of one benchmark.

        Args:
            axis: what the benchmark scores.
            rubric: the benchmark's rubric for a judge model ("do_not_answer", "strong_reject", "xstest").
        """
        self._asked = True
        if self.engine is not None:
            from defender.judges.guard import Qwen3Guard
            from defender.judges.model import ModelJudge
            from defender.judges.rubrics import RUBRICS

            form = Qwen3Guard(axis=axis) if self._config.kind == "guard" else RUBRICS[rubric]
            return ModelJudge(self.engine, form, self._desk)
        if self._config.kind == "classifier" and axis == "safety":
            return self._classified()
        return _screen(axis)  # the classifiers were trained for safety only

    async def start(
        self, meter: Meter | None = None, replies: Replies | None = None, role: SystemRole | None = None
    ) -> None:
        """Reach the judge's model, or load it; call it once the benchmarks have been handed their judges.

        Args:
            meter: pays for what the judge's model is asked; None counts nothing.
            replies: keeps what it said; None keeps it as long as this object lives.
            role: where the system text goes, as the run found it; None goes by the settings.

        Raises:
            EngineDown, ConfigError, DataMissing: there is no such model.
        """
        self._desk.meter = meter or Unmetered()
        if replies is not None:
            self._desk.replies = replies
        if self.engine is not None and self._asked:
            if role is not None:
                self.engine.seat(role)
            await self.engine.start()
        if self._classifier is not None:
            await self._classifier.start()

    async def close(self) -> None:
        """Let go of the judge's model. Idempotent."""
        if self.engine is not None:
            await self.engine.close()

    def _classified(self) -> Judge:
        from defender.judges.classifier import ACTION, ACTION_MODEL, HARMFUL, Checkpoint, Classifier

        if self._classifier is None:
            model = self._config.name or ACTION_MODEL
            labels = HARMFUL if "harmful" in model.rstrip("/").rsplit("/", 1)[-1] else ACTION
            self._classifier = Classifier(Checkpoint(model=model, labels=labels), self._desk)
        return self._classifier


def _screen(axis: Judged) -> Judge:
    from defender.judges.refusal import Refusal

    return Refusal(axis)


def _engine(config: JudgeConfig, meter: Meter) -> Served:
    from defender.engines.served import Endpoint, Served

    if not config.base_url:
        raise ConfigError(
            f"a judge of kind '{config.kind}' needs its server: give --judge-base-url http://HOST:PORT/v1 "
            "(and --judge-model, where more than one is served)"
        )
    endpoint = Endpoint(
        base_url=config.base_url,
        model=config.name,
        name=config.alias,
        api_key_env=config.api_key_env,
        system_role=config.system_role if config.kind == "model" else "system",
    )
    return Served(endpoint, meter=meter)
