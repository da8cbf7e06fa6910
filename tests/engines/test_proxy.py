"""Proxies that the environment names: all that is asked of a server goes one way; this machine is reached directly."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from defender.engines.endpoint import Endpoint
from defender.engines.proxy import proxy_for
from defender.engines.served import Served
from defender.engines.transport import UNREACHED, Transport
from defender.errors import ConfigError, EngineDown
from tests.engines.fault_server import FaultServer
from tests.engines.test_served import QUESTION

FAR = "http://model.invalid/v1"
BASIC = f"Basic {base64.b64encode(b'ann:p@ss').decode()}"


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name no proxy."""
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme}_proxy".upper(), raising=False)


class Proxy(FaultServer):
    """Answers in the place of whoever is asked through it; keeps what came with each request."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, str]] = []

    async def _models(self, request: web.Request) -> web.StreamResponse:
        self._keep(request)
        return await super()._models(request)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self._keep(request)
        return await super()._chat(request)

    def _keep(self, request: web.Request) -> None:
        said = request.headers
        self.seen.append((str(request.url.host), said.get("Authorization", ""), said.get("Proxy-Authorization", "")))


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
async def test_listing_and_questions_go_through_the_same_proxy_with_its_password_and_our_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    rules = tmp_path / "netrc"
    rules.write_text("machine model.invalid login me password other\n")
    rules.chmod(0o600)
    monkeypatch.setenv("NETRC", str(rules))
    async with Proxy() as proxy:
        monkeypatch.setenv(name, proxy.base_url.removesuffix("/v1").replace("://", "://ann:p%40ss@"))
        engine = Served(Endpoint(FAR, api_key="k"))
        await engine.start()
        response = await engine.complete(QUESTION)
        await engine.close()
    assert response.text == "You asked: 2+2?"
    assert set(proxy.seen) == {("model.invalid", "Bearer k", BASIC)}
    assert len(proxy.seen) == 2


async def test_a_proxy_that_is_to_make_a_tunnel_learns_its_own_password_and_not_our_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heads: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("https_proxy", f"http://ann:p%40ss@127.0.0.1:{port}")
    transport = Transport("https://model.invalid/v1", "sk-our-own-key", 5.0, 1)
    with pytest.raises(UNREACHED):
        await transport.post(b"{}")
    await transport.close()
    server.close()
    assert heads[0].startswith("CONNECT model.invalid:443 ")
    assert f"Proxy-Authorization: {BASIC}\r\n" in heads[0]
    assert "sk-our-own-key" not in heads[0]


async def test_a_server_of_this_machine_is_asked_without_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with FaultServer() as server:
        engine = Served(Endpoint(server.base_url))
        await engine.start()
        assert (await engine.complete(QUESTION)).error is None
        await engine.close()


async def test_a_proxy_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://ann:s3cr3t@127.0.0.1:9")
    with pytest.raises(EngineDown, match=r"got no answer.*through http://127\.0\.0\.1:9, the proxy that") as caught:
        await Served(Endpoint(FAR)).start()
    assert "s3cr3t" not in str(caught.value)


async def test_a_proxy_of_another_kind_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://ann:s3cr3t@10.0.0.1:1080")
    with pytest.raises(ConfigError, match=r"socks5 proxy.*no_proxy") as caught:
        await Served(Endpoint(FAR)).start()
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("named", "url", "proxy"),
    [
        ({}, FAR, None),
        ({"http_proxy": "10.0.0.1:3128"}, FAR, "http://10.0.0.1:3128"),
        ({"http_proxy": "http://10.0.0.1:3128", "no_proxy": "model.invalid"}, FAR, None),
        ({"http_proxy": "http://10.0.0.1:3128", "no_proxy": "*"}, FAR, None),
        ({"http_proxy": "http://10.0.0.1:3128"}, "https://model.invalid/v1", None),
        ({"https_proxy": "http://10.0.0.1:3128"}, "https://model.invalid/v1", "http://10.0.0.1:3128"),
        ({"all_proxy": "http://10.0.0.1:3128"}, "http://[::1]:8000/v1", None),
        ({"all_proxy": "http://10.0.0.1:3128"}, "http://localhost:8000/v1", None),
    ],
)
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, named: dict[str, str], url: str, proxy: Any
) -> None:
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(url)
    assert (str(found.url) if found else None) == proxy
