"""Does the model's chat template take a system message? Found out once, before anything is measured.

Mistral 7B, Mixtral and Gemma have templates without a system role: the server refuses such a request (HTTP 400), or the
template drops the text without a word. vLLM applies the template free of charge (``POST /tokenize``), so both are
seen there; elsewhere one token is asked for, and only the refusal is seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence

import httpx
from openai import APIConnectionError, APIStatusError, AsyncOpenAI

from defender.engines.wire import shown
from defender.errors import EngineDown
from defender.records import Request, Response, Sampling

_SYSTEM, _USER = "Answer in one word, please.", "Hi"
_ONE = Sampling(max_tokens=1)
SEATED = Request((("system", _SYSTEM), ("user", _USER)), _ONE)
FOLDED = Request((("user", f"{_SYSTEM}\n\n{_USER}"),), _ONE)
_ABOUT_ROLES = re.compile(r"system|role|alternate|template", re.IGNORECASE)

Ask = Callable[[Request], Awaitable[Response]]


async def takes_system(client: AsyncOpenAI, url: str, model: str, ask: Ask) -> bool:
    """Tell whether a system message reaches the model.

    Args:
        client: of the server.
        url: its address, up to ``/v1``.
        model: the served name.
        ask: sends one request, paid for; used where the server does not tell for nothing.

    Raises:
        EngineDown: the server answers neither with nor without a system message.
    """
    root = url.removesuffix("/v1")

    async def tokens(*messages: tuple[str, str]) -> int | None:
        return await _tokens(client, root, model, messages)

    seated = await tokens(("system", _SYSTEM), ("user", _USER))
    if seated:  # templates may put a text of their own where there is none, so one text is compared with a longer one
        longer = await tokens(("system", f"{_SYSTEM} {_SYSTEM}"), ("user", _USER))
        return longer is None or longer > seated
    if seated == 0 and await tokens(*FOLDED.messages):
        return False
    return await _asked(ask, url)


async def _asked(ask: Ask, url: str) -> bool:
    """Ask for one token with a system message, and without where that is refused."""
    response = await ask(SEATED)
    if response.error != "bad_request" or not _ABOUT_ROLES.search(response.detail):
        return True  # what else is wrong will be said of every request
    other = await ask(FOLDED)
    if other.error == "bad_request":
        raise EngineDown(
            f"{url}: refuses a request with a system message ({response.detail}) and one without ({other.detail}); "
            "correct the server's chat template (vLLM's --chat-template; model.server.chat_template in a run file)"
        )
    return other.error is not None


async def _tokens(client: AsyncOpenAI, root: str, model: str, messages: Sequence[tuple[str, str]]) -> int | None:
    """Return how many tokens a conversation takes, 0 where it is refused, None where the server does not tell."""
    said = [{"role": role, "content": text} for role, text in messages]
    body = json.dumps({"model": model, "messages": said}).encode()
    try:
        answer = await client.post(f"{root}/tokenize", cast_to=httpx.Response, content=body)
        count = json.loads(answer.content)["count"]
    except APIStatusError as error:
        refused = error.status_code in (400, 422) and _ABOUT_ROLES.search(shown(error.response.content))
        return 0 if refused else None
    except (APIConnectionError, ValueError, KeyError, TypeError):
        return None
    return count if isinstance(count, int) and count > 0 else None
