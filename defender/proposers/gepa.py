"""GEPA (arXiv 2507.19457) by its own package: reflective mutation of whole prompts, a Pareto front over questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from defender.contracts import Marker
from defender.marks import Mark

PART = "system_prompt"


class Gepa:
    """Implements ``Strategy``.

    Args:
        write: answers a reflection prompt; pays for itself.
        seed: of GEPA's own choices.
    """

    def __init__(self, write: Callable[[str], str], seed: int) -> None:
        self._write = write
        self._seed = seed

    def find(self, marker: Marker, seeds: Sequence[str]) -> None:
        """Evolve the first seed until the calls are used up."""
        from gepa.api import optimize

        everything = list(range(marker.questions))
        optimize(
            seed_candidate={PART: seeds[0]},
            trainset=everything,
            valset=everything,
            adapter=_Adapter(marker),
            reflection_lm=self._reflect,
            max_metric_calls=marker.calls,
            cache_evaluation=True,
            logger=_Silent(),
            seed=self._seed,
            raise_on_exception=True,
        )

    def _reflect(self, prompt: str | list[dict[str, Any]]) -> str:
        text = prompt if isinstance(prompt, str) else "\n\n".join(str(message["content"]) for message in prompt)
        return self._write(text)


class _Adapter:
    """GEPA's view of a marker: a data point is the number of a question."""

    propose_new_texts = None

    def __init__(self, marker: Marker) -> None:
        self._marker = marker

    def evaluate(self, batch: list[int], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        from gepa.core.adapter import EvaluationBatch

        marks = list(self._marker.mark(candidate[PART], batch))
        return EvaluationBatch(marks, [mark.score for mark in marks], marks if capture_traces else None)

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Show what the marks say; no question's text."""
        del candidate  # GEPA shows its text itself
        marks: list[Mark] = eval_batch.trajectories
        shown = [{"Feedback": mark.feedback, "Score": round(mark.score, 3)} for mark in marks]
        return dict.fromkeys(components_to_update, shown)


class _Silent:
    """GEPA logs to stdout otherwise."""

    def log(self, message: str) -> None:
        """Say nothing."""
