"""The report as one HTML page: works from disk, asks nothing of any network, and runs nothing but its own script.

Charts are SVG in the page: a mark can be reached by keyboard, printed, and recoloured for the dark, and the page stays
a tenth of what a bundled chart library would make it. Every value goes through the templates' escaping; the policy in
the page's head lets only this file's own style and script act, so a text that looked like either would do nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from defender.errors import StoreError
from defender.report import lanes, plots, rows
from defender.report.context import ReportContext
from defender.report.scales import SHAPES
from defender.report.sections import compared, downloads, facts, sections
from defender.report.tables import cells, visible

TEMPLATES = Path(__file__).parent / "templates"
SHORT = 28
"""Characters of a cell that are kept on one line."""


@dataclass(frozen=True)
class Grid:
    """A table as the template takes it: head and rows as text, and each column's look ("num", "short" or "")."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    looks: Sequence[str]


def write_page(context: ReportContext, into: Path) -> Path:
    """Write ``report.html``. Raises StoreError: the folder cannot be written."""
    path = into / "report.html"
    try:
        into.mkdir(parents=True, exist_ok=True)
        path.write_bytes(html(context).encode("utf-8"))
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error}; free the place or name another folder") from error
    return path


def html(context: ReportContext) -> str:
    """Return ``report.html``. Pure: the same context gives the same bytes."""
    known: dict[str, Any] = {"c": context, **_charts(context)}
    known |= {"tables": sections(context), "facts": facts(context)}
    known |= {"downloads": [(name, linked(kind, text)) for name, kind, text in downloads(context)]}
    known["happened"] = {step.decision for step in context.decisions}
    return rendered("page.html", known)


def rendered(template: str, known: Mapping[str, Any]) -> str:
    """Return a page of this folder's templates, with the house's style, script and policy; text in it stays text."""
    style, script = (Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["grid"] = grid
    environment.globals |= {"shapes": SHAPES, "signs": lanes.SIGNS}
    own = {"style": style, "script": script, "policy": _policy(style, script)}
    return environment.get_template(template).render({**known, **own})


def grid(frame: pd.DataFrame) -> Grid:
    """Return a frame as the template takes it."""
    rows = cells(frame)
    looks = []
    for place, column in enumerate(frame.columns):
        longest = max((len(row[place]) for row in rows), default=0)
        numeric = pd.api.types.is_numeric_dtype(frame[column])
        looks.append("num" if numeric else "short" if longest <= SHORT else "")
    return Grid([str(column) for column in frame.columns], rows, looks)


def _charts(context: ReportContext) -> dict[str, Any]:
    shown = context.shown.digest if context.shown else ""
    prompts = compared(context)
    details = context.details
    standings = []
    for axis in ("utility", "safety"):
        pairs = [(c, s) for c in prompts for s in details.standings.get(c.digest, ()) if s.axis == axis]
        drawn = rows.standing(pairs, context.identities) if pairs else None
        standings += [(axis, drawn)] if drawn else []
    searched = details.shared or context.confirm
    return {
        "clouds": plots.clouds(context),
        "ladder": rows.ladder(context.confirm or context.search, context.paper, context.baseline, shown),
        "standings": standings,
        "places": rows.places([(c, details.parts[c.digest]) for c in prompts if c.digest in details.parts]),
        "fronts": [
            plot
            for axis in ("utility", "safety")
            if (plot := plots.front(searched, axis, context.baseline, shown)) is not None
        ],
        "models": rows.models(details.models),
        "race": lanes.timeline(context.decisions),
    }


def _harmless(value: Any) -> Any:
    """Return text without what could act on other text; markup of our own stays."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _policy(style: str, script: str) -> str:
    """Return the content security policy: nothing from anywhere, our own style and script by their digests."""
    return (
        "default-src 'none'; connect-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def linked(kind: str, text: str) -> str:
    """Return a link that holds a whole file of a media type."""
    whole = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
    return f"data:{kind};charset=utf-8;base64,{whole}"
