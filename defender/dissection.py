"""Take one prompt apart: measure its variants and the combinations of its clauses, then try a shorter one.

An ablation is a search whose proposer already knows its list. The shorter prompt is chosen on the items of the
ablation; whether it is as good is then asked on items that nothing was chosen by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from defender.ablation import Finding, findings
from defender.bias import estimate
from defender.bill import Bill, Terms
from defender.contracts import Store
from defender.decide import floor_gaps, verdicts
from defender.errors import BudgetSpent, IncompleteMatrix
from defender.ledger import Ledger
from defender.measure import Measurer
from defender.plan import Panel
from defender.records import Candidate, OutcomeMatrix

SHORTER = "shorter"
"""Label of the prompt that is offered."""

Matrices = tuple[OutcomeMatrix, ...]


@dataclass
class Dissection:
    """One ablation. ``run`` again in a new process goes on where the last one stopped.

    ``announce`` is told every stage and the requests it may cost.
    """

    measurer: Measurer
    store: Store
    ledger: Ledger
    terms: Terms
    bill: Bill
    announce: Callable[[str, int], None] = lambda _stage, _cost: None

    async def run(self) -> None:
        """Measure everything on the bill, then look for a shorter prompt; results are read from the store.

        A budget that retries used up ends the ablation early, in order: what is measured stands.

        Raises:
            EngineDown, StoreError, Interrupted: everything paid for is kept.
        """
        self._describe()
        self.ledger.hold(self.bill.proof)
        spent = ""
        try:
            await self._fill("the prompt, each clause left out, and the other changes", self._listed())
            if self.bill.game:
                subsets = [self.terms.subject.with_only(some) for some in self.bill.game.coalitions]
                await self._fill(f"{len(subsets)} combinations of clauses", subsets)
        except BudgetSpent as reason:
            spent = str(reason)
        self.ledger.hold(0)
        try:
            offer = await self._shorter()
        except BudgetSpent as reason:
            offer, spent = (
                {"found": "", "reason": "the budget was spent before a shorter prompt was tried"},
                str(reason),
            )
        self.store.note("result", "ablate", {"offer": offer, "unpaid": list(self.bill.unpaid), "spent": spent})

    def _listed(self) -> list[Candidate]:
        return [self.terms.subject.candidate, *(variant.candidate for variant in self.bill.variants)]

    def _describe(self) -> None:
        """Keep what a report needs later: who is who."""
        subject, game = self.terms.subject, self.bill.game
        self.store.note("candidate", subject.candidate.id, asdict(subject.candidate))
        for place, variant in enumerate(self.bill.variants):
            told = {"kind": variant.kind, "what": variant.what, "candidate": asdict(variant.candidate)}
            self.store.note("variant", f"{place:04d}", told)
        self.store.note("game", "clauses", {
            "players": list(subject.clauses),
            "exact": bool(game and game.exact),
            "pairs": 0 if game is None or game.orders_K_P_S is None else len(game.orders_K_P_S),
            "seed": self.terms.seed,
            "coalitions": [
                [sorted(some), subject.with_only(some).id] for some in (game.coalitions if game else ())
            ],
        })  # fmt: skip
        self.store.note("bill", "bill", {"cost": dict(self.bill.cost), "proof": self.bill.proof})

    async def _fill(self, words: str, candidates: Sequence[Candidate], panel: Panel | None = None) -> None:
        panel = panel or self.terms.panel
        self.announce(words, self.measurer.owed(candidates, panel))
        await self.measurer.fill(candidates, panel)

    async def _shorter(self) -> dict[str, object]:
        """Find a shorter prompt on the ablation's items and prove it on untouched ones; return what came of it."""
        candidate, reason = await self._chosen()
        if candidate is None:
            return {"found": "", "reason": reason}
        self.store.note("candidate", candidate.id, asdict(candidate))
        if self.terms.proof is None:
            return {
                "found": candidate.id,
                "shown": False,
                "reason": f"{reason}; no untouched items are left to prove it",
            }
        return {"found": candidate.id, **await self._proven(candidate, reason, self.terms.proof)}

    async def _chosen(self) -> tuple[Candidate | None, str]:
        """Return the shortest prompt that the ablation's items allow, or None and why."""
        terms, subject = self.terms, self.terms.subject
        absent = {v.what: v.candidate for v in self.bill.variants if v.kind == "left out"}
        judged = {found.name: found for found in self._judged(absent)}
        losable = sorted(
            (found for found in judged.values() if found.losable), key=lambda found: found.difference.difference
        )
        drop = [found.name for found in losable]
        while drop:
            rest = [clause for clause in subject.clauses if clause not in drop]
            candidate = subject.with_only(rest, SHORTER)
            what = f"without {', '.join(drop)}"
            if len(drop) == 1:
                return candidate, f"{what}: {judged[drop[0]].reason}"
            await self._fill(f"a shorter prompt, {what}", [candidate])
            together = self._judged({what: candidate})
            if together and together[0].losable:
                return candidate, f"{what}: {together[0].reason}"
            drop.pop()  # the clause that is missed most goes back
        missed = "no clause is shown to be losable" if absent else "it has no clauses to leave out"
        return None, missed + f" (margin {terms.margin:g} points of PB)"

    def _judged(self, changed: Mapping[str, Candidate]) -> tuple[Finding, ...]:
        """Judge prompts without some clauses on the ablation's items; what is not measured whole is passed over."""
        terms, found = self.terms, {}
        for name, candidate in changed.items():
            matrices = self.measurer.matrices(candidate, terms.panel)
            if whole(matrices):
                found[name] = matrices
        own = self.measurer.matrices(terms.subject.candidate, terms.panel)
        return findings("left out", found, own, margin=terms.margin, level=terms.level) if found else ()

    async def _proven(self, candidate: Candidate, chosen: str, panel: Panel) -> dict[str, object]:
        """Measure the shorter prompt, the prompt and the baseline on untouched items; keep what is claimed."""
        terms, prompt, baseline = self.terms, self.terms.subject.candidate, self.terms.baseline
        asked = list({c.id: c for c in (candidate, prompt, baseline)}.values())
        self.store.note("candidate", baseline.id, asdict(baseline))
        await self._fill("the shorter prompt on untouched items", asked, panel)
        matrices = {c.id: self.measurer.matrices(c, panel) for c in asked}
        try:
            (one,) = findings(
                "left out",
                {SHORTER: matrices[candidate.id]},
                matrices[prompt.id],
                margin=terms.margin,
                level=terms.level,
            )
            gaps = {
                c.id: floor_gaps(
                    terms.floors, matrices[c.id], {baseline.name: matrices[baseline.id]}, level=terms.level
                )
                for c in asked
            }
            against = {c.name: matrices[c.id] for c in (baseline, prompt) if c.id != candidate.id}
            compared = verdicts(SHORTER, matrices[candidate.id], against, level=terms.level)
        except IncompleteMatrix as reason:
            return {"shown": False, "chosen": chosen, "reason": str(reason)}
        missed = [f"the floor {name} is missed by {gap:.2f}" for name, gap in gaps[candidate.id].items() if gap > 0]
        shown = one.losable and not missed
        self.store.note("result", "search", {
            "winner": candidate.id if shown else "",
            "finalists": [candidate.id],
            "baselines": [baseline.id, prompt.id],
            "comparisons": [asdict(comparison) for comparison in compared],
            "gaps": gaps,
            "stopped": "the shorter prompt was asked untouched items",
        })  # fmt: skip
        words = "; ".join([f"{one.fate} on untouched items: {one.reason}", *missed])
        return {"shown": shown, "chosen": chosen, "reason": words}


def whole(matrices: Sequence[OutcomeMatrix]) -> bool:
    """Tell whether a prompt was measured well enough to be judged."""
    try:
        estimate(matrices)
    except IncompleteMatrix:
        return False
    return True
