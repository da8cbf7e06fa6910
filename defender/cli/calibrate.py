"""``defender calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from defender.cli.console import counting, judge_of, say, settle, wait
from defender.cli.options import Data, Json, JudgeKind, JudgeModel, JudgeUrl, MaxRequests, Quiet, Runs


def calibrate(
    labelled: Annotated[
        str,
        typer.Argument(help="CSV with the columns question, response, label; or do_not_answer for the hub's labels."),
    ],
    judge: JudgeKind = None,
    judge_model: JudgeModel = None,
    judge_base_url: JudgeUrl = None,
    rubric: Annotated[
        str, typer.Option(help="do_not_answer, strong_reject or xstest (judge models; default: by the labels).")
    ] = "",
    truth: Annotated[
        Literal["harmful", "action"], typer.Option(help="Which of the hub's human labels is believed.")
    ] = "harmful",
    data: Data = None,
    max_requests: MaxRequests = None,
    runs: Runs = Path("runs"),
    json: Json = False,
    quiet: Quiet = None,
) -> None:
    """Score a judge against labelled responses: agreement, kappa and errors per class, with intervals."""
    from defender.calibrating import Question, calibrated

    settings = settle("measure", None, {
        **judge_of(judge, judge_model, judge_base_url), "data": data, "budget.max_requests": max_requests,
    })  # fmt: skip
    with counting(json or quiet) as told:
        answer = wait(calibrated(settings, Question(labelled, truth, rubric), runs, told))
    say(*answer, json)
