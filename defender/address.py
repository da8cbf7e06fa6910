"""Where servers are: a run's database, its URL and the run's name in it, and models; and what of it may be shown."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from defender.errors import ConfigError

SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
EXPECTED = "postgresql+psycopg://USER@HOST/DATABASE"
SERVED = "http://localhost:8000/v1"
_SECRET = ("password", "sslpassword", "passfile")
_LONGEST = 63
"""Bytes of a name in PostgreSQL; longer ones would be cut without a word."""


@dataclass(frozen=True)
class Address:
    """A run's place on a database server.

    Attributes:
        url: with whatever password it was given, in SQLAlchemy's spelling; never shown.
        run: the run's name; its tables are in a schema of that name.
    """

    url: str = field(repr=False)
    run: str

    @property
    def shown(self) -> str:
        """The address for people: "URL#run" without a password."""
        return f"{without_password(self.url)}#{self.run}"

    @property
    def inside(self) -> str:
        """The URL of a connection for which the run's schema is the only one; holds the password."""
        parts = urlsplit(self.url)
        schema = self.schema.replace('"', '""').replace("\\", "\\\\").replace(" ", "\\ ")
        said = dict(parse_qsl(parts.query))
        said["options"] = f'{said.get("options", "")} -csearch_path="{schema}"'.strip()
        return urlunsplit(parts._replace(query=urlencode(said, quote_via=quote)))

    @property
    def schema(self) -> str:
        """The run's schema: its name, cut to what PostgreSQL keeps of a name, with a digest of what was cut."""
        name = self.run.encode()
        if len(name) <= _LONGEST:
            return self.run
        digest = hashlib.sha256(name).hexdigest()[:12]
        return f"{name[: _LONGEST - 13].decode(errors='ignore')}-{digest}"

    def __str__(self) -> str:
        return self.shown


def is_server(where: str) -> bool:
    """Tell whether a text names a database on a server rather than a file."""
    return "://" in where and not where.startswith("sqlite")


def address_of(url: str, run: str = "") -> Address:
    """Return the address of a run: ``url`` may end in "#run", else ``run`` names it.

    Raises:
        ConfigError: not a PostgreSQL URL, no run is named, or the name is one PostgreSQL keeps for itself.
    """
    url, named = checked(url)
    run = named or run
    if not run:
        raise ConfigError(f"which run of {without_password(url)}? Give its name after a '#': '{EXPECTED}#RUN'")
    if run.startswith("pg_") or run in ("public", "information_schema") or "\x00" in run:
        raise ConfigError(f"a run in a database cannot be named {run!r}: PostgreSQL keeps that name for itself")
    return Address(url, run)


def checked(url: str) -> tuple[str, str]:
    """Return a database URL in SQLAlchemy's spelling, and the run named after its '#' ("" for none).

    Raises:
        ConfigError: it is not a PostgreSQL URL; what was given is shown without its password.
    """
    scheme, found, rest = url.strip().partition("://")
    if not found or scheme not in SCHEMES:
        raise ConfigError(f"store: expected {EXPECTED}, got {without_password(url)!r}")
    try:
        parts = urlsplit(f"postgresql+psycopg://{rest}")
        database, _port = parts.path.strip("/"), parts.port
    except ValueError:
        database = ""
    if not database or "@" in parts.fragment:
        raise ConfigError(
            f"store: expected {EXPECTED}, got {without_password(url)!r}, which names no database, or no port that is a "
            "number (in a password, '/', '#' and '@' are written %2F, %23 and %40)"
        )
    return urlunsplit(parts._replace(fragment="")), unquote(parts.fragment)


def no_plain_address(url: str) -> str:
    """Return why a text is not the plain address of a model's server, without what it may give away; "" where it is.

    Run folders, fingerprints and messages hold addresses as they were given, so an address may not carry a secret.
    """
    got = "an address with an '@'" if "@" in url else repr(url.partition("?")[0].partition("#")[0])
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or not url.isprintable() or " " in url:
        return f"expected an address such as {SERVED}, got {got}"
    if "@" in url or parts.query or parts.fragment:
        return (
            f"expected an address and nothing more, such as {SERVED}, got {got} and a user, '?' or '#' with it: that "
            "would be kept with the run, and not be sent with its requests. A key goes into an environment variable "
            "(--api-key-env)"
        )
    return ""


def without_password(url: str) -> str:
    """Return a URL without the password that it may carry, in front of the host or among its parameters."""
    scheme, found, rest = url.partition("://")
    if not found:
        return url
    whose, at, where = rest.rpartition("@")  # the last one: nothing before it is shown but the user's name
    who = f"{whose.partition(':')[0]}@" if at else ""
    where, asked, parameters = where.partition("?")
    kept = urlencode([(key, value) for key, value in parse_qsl(parameters) if key.lower() not in _SECRET])
    return f"{scheme}://{who}{where}{asked if kept else ''}{kept}"
