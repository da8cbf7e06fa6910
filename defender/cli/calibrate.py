"""``defender calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from defender.cli.console import judge_of, say, settle, wait
from defender.cli.options import Json, JudgeKind, JudgeModel, JudgeUrl


def calibrate(
    labelled: Annotated[Path, typer.Argument(help="CSV with the columns question, response, label.")],
    judge: JudgeKind = None,
    judge_model: JudgeModel = None,
    judge_base_url: JudgeUrl = None,
    axis: Annotated[str, typer.Option(help="'safety' or 'over_refusal'.")] = "safety",
    rubric: Annotated[
        str, typer.Option(help="do_not_answer, strong_reject or xstest (judge models).")
    ] = "do_not_answer",
    json: Json = False,
) -> None:
    """Score a judge against labelled responses: agreement and errors per class, with intervals."""
    from defender.examination import calibrated

    settings = settle("measure", None, judge_of(judge, judge_model, judge_base_url))
    say(*wait(calibrated(settings, labelled, axis, rubric)), json)
