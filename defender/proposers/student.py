"""DSPy's instruction optimizers over a marker: the student's instructions *are* the system prompt that is scored.

The student asks no language model: its forward pass has the marker ask the served model with the instructions as they
stand, so what is scored is what ships.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any, Literal

import dspy

from defender.contracts import Marker

THREADS = 16
"""Questions marked at once; each is asked of every identity."""

BREADTH = 6
"""COPRO: prompts written at each depth."""

Name = Literal["mipro", "copro"]


class Instructed:
    """Implements ``Strategy`` with MIPROv2 (arXiv 2406.11695) or COPRO, both zero-shot.

    Args:
        name: which.
        lm: the prompt model, a DSPy language model that pays for itself.
        seed: of the optimizer's own choices (COPRO has none).
    """

    def __init__(self, name: Name, lm: Any, seed: int) -> None:
        self._name = name
        self._lm = lm
        self._seed = seed

    def find(self, marker: Marker, seeds: Sequence[str]) -> None:
        """Spend the calls on full evaluations of written instructions."""
        examples = [dspy.Example(place=place).with_inputs("place") for place in range(marker.questions)]
        trials = max(2, marker.calls // marker.questions - 1)
        settings = {"adapter": dspy.ChatAdapter(), "disable_history": True, "callbacks": [], "max_errors": 1}
        with _quiet(), dspy.context(lm=self._lm, **settings):
            if self._name == "mipro":
                self._mipro(Student(marker, seeds[0]), examples, trials)
            else:
                self._copro(Student(marker, seeds[0]), examples, trials)

    def _mipro(self, student: Student, examples: list[Any], trials: int) -> None:
        optimizer = dspy.MIPROv2(
            metric=_score,
            prompt_model=self._lm,
            task_model=self._lm,
            auto=None,
            num_candidates=trials,
            max_bootstrapped_demos=0,
            max_labeled_demos=0,
            num_threads=THREADS,
            max_errors=1,
            seed=self._seed,
        )
        optimizer.compile(
            student,
            trainset=examples,
            valset=examples,
            num_trials=trials,
            minibatch=False,
            program_aware_proposer=False,
            data_aware_proposer=False,
            fewshot_aware_proposer=False,
        )

    def _copro(self, student: Student, examples: list[Any], trials: int) -> None:
        depth = max(1, trials // BREADTH)
        optimizer = dspy.COPRO(prompt_model=self._lm, metric=_score, breadth=BREADTH, depth=depth)
        settings = {"num_threads": THREADS, "display_progress": False, "display_table": 0}
        optimizer.compile(student, trainset=examples, eval_kwargs=settings)


class Student(dspy.Module):  # type: ignore[misc]
    """A program with one instruction, the system prompt."""

    def __init__(self, marker: Marker, text: str) -> None:
        super().__init__()
        self.marker = marker
        self.assistant = dspy.Predict(dspy.Signature("place -> score", text))

    def forward(self, place: int) -> Any:
        """Mark the instructions on one question."""
        (mark,) = self.marker.mark(self.assistant.signature.instructions, [place])
        return dspy.Prediction(score=mark.score)

    def deepcopy(self) -> Student:
        """Copy the instruction, share the marker."""
        return Student(self.marker, self.assistant.signature.instructions)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the optimizers' running commentary: log lines at level INFO, and prints to stdout, where results go.

    Loggers and stdout belong to the process, so there is no local way; both are put back.
    """
    loggers = [logging.getLogger(name) for name in ("dspy", "optuna")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _score(_example: Any, prediction: Any, _trace: Any = None) -> float:
    return float(prediction.score)
