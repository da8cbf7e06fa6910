"""Where a model is served, and how patiently to ask: one server, or several that serve the same model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from defender.address import no_plain_address
from defender.engines.wire import RESERVED
from defender.errors import ConfigError

SystemRole = Literal["auto", "system", "user"]
"""Where the system text travels: in a message of its own, in front of the user's first message, or as found out."""


@dataclass(frozen=True)
class Server:
    """One address of the model.

    Attributes:
        base_url: up to and including ``/v1``.
        weight: its share of what is open, beside the others'. Equal weights let each have what it can take.
        max_in_flight: wire requests open at once there; 0 takes the endpoint's.
    """

    base_url: str
    weight: float = 1.0
    max_in_flight: int = 0

    def __post_init__(self) -> None:
        if why := no_plain_address(self.base_url):
            raise ConfigError(f"base_url: {why}")
        if not 0 < self.weight < float("inf") or self.max_in_flight < 0:
            raise ConfigError(
                f"base_url {self.base_url}: expected a weight above 0 and in_flight of at least 0, "
                f"got {self.weight} and {self.max_in_flight}"
            )

    @property
    def url(self) -> str:
        """The address in one spelling: lower-case host, no trailing slash."""
        url = urlsplit(self.base_url)
        return f"{url.scheme}://{url.netloc.lower()}{url.path.rstrip('/')}"


@dataclass(frozen=True)
class Endpoint:
    """Where the model is served, and how patiently to ask.

    Attributes:
        base_url: up to and including ``/v1``; several where the same model is served at each of them.
        model: the served name; "" takes the only one served.
        name: replaces the address in the model card, so that paid answers survive a move to another host or port.
        api_key: the key itself, or "" to read the environment variable ``api_key_env`` (absent: no key needed).
        timeout_s: seconds for one attempt, connecting included.
        max_in_flight: the most wire requests open at once at one server; how many are is found while asking.
        max_attempts: attempts for one request while the failure may pass.
        backoff_s: first wait before a retry; doubles, with jitter, unless the server says how long.
        breaker_s: how long every request must have failed, or every server been away, before `EngineDown`.
        extra_body: fields added to every request body; they change answers, so they enter the model card.
        system_role: "auto" finds out whether the model's chat template takes a system message.
    """

    base_url: str | Sequence[str | Server]
    model: str = ""
    name: str = ""
    api_key: str = field(default="", repr=False)
    api_key_env: str = "OPENAI_API_KEY"
    timeout_s: float = 120.0
    max_in_flight: int = 64
    max_attempts: int = 5
    backoff_s: float = 0.5
    breaker_s: float = 30.0
    extra_body: Mapping[str, object] = field(default_factory=dict)
    system_role: SystemRole = "system"

    def __post_init__(self) -> None:
        urls = [server.url for server in self.servers]
        if not urls or len(set(urls)) < len(urls):
            raise ConfigError(
                f"base_url: expected one address or several different ones, got {', '.join(urls) or '[]'}"
            )
        if self.max_in_flight < 1 or self.max_attempts < 1 or self.timeout_s <= 0:
            raise ConfigError(
                f"endpoint {self.url}: expected max_in_flight and max_attempts of at least 1 and a timeout_s "
                f"above 0, got {self.max_in_flight}, {self.max_attempts} and {self.timeout_s}"
            )
        taken = sorted(RESERVED & set(self.extra_body))
        if taken:
            raise ConfigError(
                f"endpoint {self.url}: extra_body may not set {', '.join(taken)}; "
                "those come from the benchmark's sampling and the prompt"
            )

    @property
    def servers(self) -> tuple[Server, ...]:
        """Every address, as given."""
        given = (self.base_url,) if isinstance(self.base_url, str) else self.base_url
        return tuple(one if isinstance(one, Server) else Server(one) for one in given)

    @property
    def url(self) -> str:
        """The addresses in one spelling and order."""
        return ", ".join(sorted(server.url for server in self.servers))

    @property
    def key(self) -> str:
        """The API key; servers without keys accept any."""
        return (self.api_key or os.environ.get(self.api_key_env, "")).strip() or "none"
