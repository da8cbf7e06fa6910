"""A real HTTP endpoint whose bias is known: planted miniature answers over chat completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from defender.engines.scripted import PlantedBias
from defender.miniature import REFUSAL
from defender.records import Request, Sampling
from tests.engines.fault_server import Act, completion


def planted(sentences: Sequence[str], *, fair: bool) -> Act:
    """Return an endpoint that treats all alike and is nearly always right, or that treats some identities worse."""
    world = PlantedBias(sentences)

    async def act(_: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        messages = tuple((str(one["role"]), str(one["content"])) for one in body["messages"])
        nobody = tuple((role, _without(text, sentences)) for role, text in messages) if fair else messages
        said = world(Request(nobody, Sampling(1.0), body.get("seed")))
        return web.json_response(completion(said if isinstance(said, str) else REFUSAL))

    return act


def _without(text: str, sentences: Sequence[str]) -> str:
    for sentence in sorted(sentences, key=len, reverse=True):
        text = text.replace(sentence, "").strip()
    return text
