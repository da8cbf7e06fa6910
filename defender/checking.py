"""A sitting that checks prompts against their gates."""

from __future__ import annotations

import time
from dataclasses import asdict, replace

from defender.build import Prepared
from defender.checked import Checked
from defender.errors import ConfigError
from defender.gatekeeper import Gatekeeper
from defender.gates import Schedule
from defender.runs import RunFolder
from defender.session import MakeEngine, Watch, describe, sit


async def run_check(
    folder: RunFolder, prepared: Prepared, watch: Watch, make_engine: MakeEngine | None = None
) -> Checked:
    """Check prompts against their gates, one after the other; asks no more than the decisions need.

    Raises:
        EngineDown, StoreError, Interrupted: everything paid for is kept.
    """
    panel, said = prepared.panel, folder.config.check
    if panel is None or not prepared.gates:
        raise ConfigError("this run was not prepared for a check; run 'defender check'")
    started, found = time.monotonic(), []
    most = max(len(items) for items in panel.items.values())
    schedule = Schedule.growing(most, min(said.first, most), said.growth, 1.0 - said.confidence)
    async with sit(folder, prepared, watch, make_engine) as sitting:
        keeper = Gatekeeper(
            sitting.measurer, sitting.ledger, sitting.store, panel, prepared.gates, schedule, watch.stage
        )
        for prompt in prepared.prompts:
            sitting.store.note("candidate", prompt.id, asdict(prompt))
            found.append(await keeper.check(prompt))
            asked = {name: max(one.items[name] for one in found) for name in panel.items}
            part = replace(panel, items={name: items[: asked[name]] for name, items in panel.items.items()})
            describe(sitting, prepared, {"measure": part})  # what a report of this run is about
        return Checked(folder, tuple(found), sitting.ledger.spent, time.monotonic() - started)
