"""Which model an OpenAI-compatible endpoint serves: ``GET /models``, free of charge."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx
from openai import APIConnectionError, APIStatusError, AsyncOpenAI

from defender.engines.wire import shown
from defender.errors import EngineDown

_WITHOUT_LISTING = (403, 404, 405, 501)
_SHOWN_MODELS = 20


@dataclass(frozen=True)
class Listed:
    """What the listing says of one model; ``seen`` is False where the server has no listing to read.

    ``revision`` and ``server`` hold only what survives a restart of the same server (vLLM's ``created`` does not).
    ``context`` is what vLLM and SGLang list as ``max_model_len``: tokens of prompt and answer together.
    """

    model: str
    revision: str = ""
    server: str = ""
    seen: bool = True
    context: int | None = None

    def same(self, other: Listed) -> bool:
        """Tell whether both are one model, as far as servers say."""
        return (self.model, self.revision, self.server) == (other.model, other.revision, other.server)

    def words(self) -> str:
        """Return the model, its revision and its server, as far as they are known."""
        return ", ".join(part for part in (f"'{self.model}'", self.revision, self.server) if part)


class Unready(EngineDown):
    """No answer, or one that may change by itself: the server may be starting."""


async def learn(client: AsyncOpenAI, url: str, model: str, key_env: str) -> Listed:
    """Find a model ("" for the only one) among those served.

    Raises:
        EngineDown: nothing answers, the key is refused, the model is not served, or the answer is no listing.
    """
    entries = await _entries(client, url, key_env)
    if entries is None:
        if not model:
            raise EngineDown(
                f"{url}: does not list its models (GET /models); name the one to use as 'model'.{perhaps_v1(url)}"
            )
        return Listed(model, seen=False)
    names = sorted(entries)
    if not model and len(names) == 1:
        model = names[0]
    if model not in entries:
        listed = ", ".join(names[:_SHOWN_MODELS]) + (", ..." if len(names) > _SHOWN_MODELS else "")
        wanted = f"model '{model}' is not served" if model else "several models are served and none was named"
        raise EngineDown(f"{url}: {wanted}; served: {listed or 'none'}. Set 'model' to one of them")
    entry = entries[model]
    root, owner = entry.get("root"), entry.get("owned_by")
    revision = root if isinstance(root, str) and root != model else ""
    server = owner if isinstance(owner, str) else ""
    if server == "vllm":
        server = f"vllm {await _version(client, url)}".strip()
    context = entry.get("max_model_len")
    return Listed(model, revision, server, context=context if type(context) is int and context > 0 else None)


async def _entries(client: AsyncOpenAI, url: str, key_env: str) -> dict[str, dict[str, Any]] | None:
    """Return the listed models by name, None where the server has no listing (or hides it from this key)."""
    try:
        answer = await client.get("/models", cast_to=httpx.Response)
    except APIConnectionError as error:
        cause = error.__cause__ or error
        raise Unready(
            f"{url}: expected an OpenAI-compatible server, got no answer ({type(cause).__name__}: {cause}). "
            "Start the server (for example: defender serve) or correct base_url, then run: defender doctor"
        ) from error
    except APIStatusError as error:
        seen = f"HTTP {error.status_code}: {shown(error.response.content)}"
        if (elsewhere := error.response.headers.get("location")) is not None:
            raise EngineDown(
                f"{url}: sends GET /models on to {elsewhere} (HTTP {error.status_code}), and nothing is followed; give "
                "the address that answers as base_url, then run: defender doctor"
            ) from error
        if error.status_code in _WITHOUT_LISTING:
            return None
        if error.status_code == 401:
            raise EngineDown(
                f"{url}: the server refuses the key ({seen}). Set the environment variable {key_env} "
                "to a valid key, then run: defender doctor"
            ) from error
        raise (Unready if error.status_code >= 500 or error.status_code == 429 else EngineDown)(
            f"{url}: expected the list of models from GET /models, got {seen}. "
            "Check that the server has finished starting, then run: defender doctor"
        ) from error
    return _parse(answer, url)


def _parse(answer: httpx.Response, url: str) -> dict[str, dict[str, Any]]:
    try:
        data = json.loads(answer.content)
    except ValueError:
        data = None
    rows = data.get("data") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise EngineDown(
            f"{url}: expected an OpenAI-compatible server, got {answer.headers.get('content-type', 'no content type')} "
            f"from GET /models: {shown(answer.content)}. Is '/v1' missing from base_url?"
        )
    return {row["id"]: row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)}


def perhaps_v1(url: str) -> str:
    """Return a question to end a message with, where an address does not end as they do."""
    return "" if url.endswith("/v1") else " Is '/v1' missing from base_url?"


async def _version(client: AsyncOpenAI, url: str) -> str:
    """Return the version vLLM reports beside the API, "" where it is hidden."""
    try:
        answer = await client.get(f"{url.removesuffix('/v1')}/version", cast_to=httpx.Response)
        version = json.loads(answer.content)["version"]
    except (APIConnectionError, APIStatusError, ValueError, KeyError, TypeError):
        return ""
    return version if isinstance(version, str) else ""
