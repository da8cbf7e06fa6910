"""The points of a space as flat parameters: what a sampler draws, and the way back.

Every point has the same parameters, those of ideas that are off included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from defender.errors import SpaceError
from defender.records import Candidate
from defender.space import PLACEMENTS, Choice, Space


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return the same parameters for every trial; parameters with one value are left out of models by Optuna."""
    found: dict[str, BaseDistribution] = {"opening": CategoricalDistribution(tuple(space.openings))}
    for idea, wordings in space.clauses.items():
        found[f"clause_{idea}"] = CategoricalDistribution((False, True))
        found[f"wording_{idea}"] = CategoricalDistribution(tuple(wordings))
        found[f"rank_{idea}"] = IntDistribution(0, len(space.clauses) - 1)
    found["placement"] = CategoricalDistribution(space.placements)
    return found


def choice_of(space: Space, params: Mapping[str, Any]) -> Choice:
    """Return the choice parameters stand for.

    Ideas that are on are said by rank, ties in file order. When more are on than the space allows, those said last
    are dropped: rank is priority too.
    """
    ideas = sorted((idea for idea in space.clauses if params[f"clause_{idea}"]), key=lambda i: int(params[f"rank_{i}"]))
    said = tuple((idea, str(params[f"wording_{idea}"])) for idea in ideas[: space.max_clauses])
    return Choice(params["opening"], said, next(p for p in PLACEMENTS if p == params["placement"]))


def params_of(space: Space, choice: Choice) -> dict[str, Any]:
    """Return parameters that stand for exactly this choice; unused ones take their first value."""
    said = dict(choice.clauses)
    order = {idea: rank for rank, (idea, _) in enumerate(choice.clauses)}
    params: dict[str, Any] = {"opening": choice.opening}
    for idea, wordings in space.clauses.items():
        params[f"clause_{idea}"] = idea in said
        params[f"wording_{idea}"] = said.get(idea, next(iter(wordings)))
        params[f"rank_{idea}"] = order.get(idea, 0)
    return {**params, "placement": choice.placement}


def point_of(space: Space, candidate: Candidate) -> Choice | None:
    """Return the choice that says a foreign candidate's very text, or None when this space cannot say it."""
    choice = Choice.of(candidate)
    if choice is None:
        return None
    try:
        same = space.render(choice)
    except SpaceError:
        return None
    exact = choice == choice_of(space, params_of(space, choice)) and same.digest == candidate.digest
    return choice if exact else None


def steps(space: Space, choice: Choice) -> Iterator[Choice]:
    """Yield every choice one change away; any choice can be reached from any other."""
    said = choice.clauses
    for opening in space.openings:
        yield Choice(opening, said, choice.placement)
    for placement in space.placements:
        yield Choice(choice.opening, said, placement)
    for idea, wordings in space.clauses.items():
        others = tuple(pair for pair in said if pair[0] != idea)
        yield Choice(choice.opening, others, choice.placement)
        places = range(len(others) + 1) if len(others) < space.max_clauses else ()
        for wording in wordings:
            for place in places:
                yield Choice(choice.opening, (*others[:place], (idea, wording), *others[place:]), choice.placement)
