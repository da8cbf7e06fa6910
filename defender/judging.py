"""The judge of a run: built before anything is contacted, opened with the run, paid from the run's budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from defender.contracts import Engine, Judge, Meter
from defender.errors import ConfigError
from defender.settings import JudgeConfig

if TYPE_CHECKING:
    from defender.judges.classifier import Classifier

Judged = Literal["safety", "over_refusal"]


class Till:
    """A meter whose budget is known only when the run opens; before that nothing is counted."""

    def __init__(self) -> None:
        self.meter: Meter | None = None

    async def admit(self) -> None:
        """Pay from the run's budget. Raises BudgetSpent."""
        if self.meter is not None:
            await self.meter.admit()


class Judging:
    """Hands benchmarks their judges; a model behind them is started and closed with the run."""

    def __init__(self, config: JudgeConfig) -> None:
        self._config = config
        self._till = Till()
        self._classifier: Classifier | None = None
        self.engine: Engine | None = _engine(config, self._till) if config.kind in ("model", "guard") else None

    def judge(self, axis: Judged, rubric: str) -> Judge:
        """Return the judge of one benchmark.

        Args:
            axis: what the benchmark scores.
            rubric: the benchmark's rubric for a judge model ("do_not_answer", "strong_reject", "xstest").
        """
        from defender.judges.refusal import Refusal

        if self.engine is not None:
            from defender.judges.guard import Qwen3Guard
            from defender.judges.model import ModelJudge
            from defender.judges.rubrics import RUBRICS

            form = Qwen3Guard(axis=axis) if self._config.kind == "guard" else RUBRICS[rubric]
            return ModelJudge(self.engine, form)
        if self._config.kind == "classifier" and axis == "safety":
            return self._classified()
        return Refusal(axis)  # the classifiers were trained for safety only

    async def start(self, meter: Meter | None = None) -> None:
        """Reach the judge's model, or load it. Raises EngineDown, ConfigError, DataMissing."""
        self._till.meter = meter
        if self.engine is not None:
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
            labels = HARMFUL if "harmful" in model.rsplit("/", 1)[-1] else ACTION
            self._classifier = Classifier(Checkpoint(model=model, labels=labels))
        return self._classifier


def _engine(config: JudgeConfig, meter: Meter) -> Engine:
    from defender.engines.served import Endpoint, Served

    if not config.base_url:
        raise ConfigError(
            f"a judge of kind '{config.kind}' needs its server: give --judge-base-url http://HOST:PORT/v1 "
            "(and --judge-model, where more than one is served)"
        )
    return Served(
        Endpoint(base_url=config.base_url, model=config.name, name=config.alias, api_key_env=config.api_key_env),
        meter=meter,
    )
