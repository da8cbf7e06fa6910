"""Which proxy the environment names for a server: the one answer for all that is asked there.

The libraries below read the environment each in its own way (one knows ``all_proxy``, the other takes a password for
the server from ``~/.netrc``); requests of one server would then go two ways.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from defender.errors import ConfigError

NAMED = "the proxy that the environment names for it (https_proxy, http_proxy, all_proxy; no_proxy lists exceptions)"


def proxy_for(url: str) -> httpx.Proxy | None:
    """Return the proxy for an address; None for one of this machine, which no proxy elsewhere could reach.

    Raises:
        ConfigError: it is one that is not spoken here (SOCKS).
    """
    parts = urlsplit(url)
    named = getproxies()
    found = named.get(parts.scheme) or named.get("all")
    if not found or _is_here(parts.hostname or "") or proxy_bypass(parts.netloc):
        return None
    proxy = urlsplit(found if "://" in found else f"http://{found}")
    if proxy.scheme not in ("http", "https"):
        raise ConfigError(
            f"{url}: the environment names a {proxy.scheme} proxy for it ({parts.scheme}_proxy or all_proxy), and only "
            f"http proxies are spoken here: name one of those, or put '{parts.hostname}' into no_proxy"
        )
    return httpx.Proxy(f"{proxy.scheme}://{proxy.netloc}")


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
