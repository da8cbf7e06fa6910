from __future__ import annotations

import pytest

from defender.address import address_of, without_password
from defender.errors import ConfigError


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://ann:s3cr3t@host:5432/db",
        "postgresql://ann:s3cr3t@host/db?sslmode=require",
        "postgres://ann@host/db?password=s3cr3t&sslmode=require",
        "postgresql://ann:s3cr3t/x@host/db",
        "postgresql://ann:x#s3cr3t@host/db",
        "postgresql://ann:x@s3cr3t@host/db",
        "postgresql://ann:s3cr3t@[::1]:5432/db",
        "mysql://ann:s3cr3t@host/db",
        "postgresql://ann:s3cr3t@host:port/db",
        "postgresql://ann:s3cr3t@host",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    assert "s3cr3t" not in without_password(url)
    assert "host" in without_password(url) or "::1" in without_password(url)
    said = _said_of(url)
    assert "s3cr3t" not in said
    assert said


def _said_of(url: str) -> str:
    try:
        address = address_of(url, "run")
    except ConfigError as error:
        return str(error)
    assert "s3cr3t" in address.url
    return f"{address} {address!r} {address.shown}"


def test_an_address_names_its_run_after_a_hash_or_is_told_it() -> None:
    assert address_of("postgresql://ann@host/db#two%20words").run == "two words"
    assert address_of("postgresql://ann@host/db#one", "two").run == "one"
    assert address_of("postgresql://ann@host/db", "two").shown == "postgresql+psycopg://ann@host/db#two"
    with pytest.raises(ConfigError, match="which run"):
        address_of("postgresql://ann@host/db")


@pytest.mark.parametrize("url", ["sqlite:///x.db", "mysql://host/db", "host/db", "postgresql://host", "postgresql://"])
def test_what_is_no_postgresql_database_is_refused_with_what_was_expected(url: str) -> None:
    with pytest.raises(ConfigError, match=r"expected postgresql\+psycopg://USER@HOST/DATABASE, got"):
        address_of(url, "run")


@pytest.mark.parametrize("name", ["pg_temp", "public", "information_schema", "nul\x00"])
def test_names_that_postgresql_keeps_for_itself_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be named"):
        address_of("postgresql://ann@host/db", name)


def test_names_too_long_for_a_schema_stay_different() -> None:
    one, other = (address_of("postgresql://ann@host/db", "ü" * 40 + end) for end in "ab")
    assert one.schema != other.schema
    assert len(one.schema.encode()) <= 63
