"""A run is a folder: its configuration and digest, its versions, its database, its best prompts, its report."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from defender import __version__
from defender.address import Address, address_of, without_password
from defender.config import RunConfig, differences, restore_config
from defender.errors import ConfigError, ResumeRefused, StoreError
from defender.records import digest_of

CONFIG = "config.json"
DATABASE = "run.db"
STUDY = "study.db"
ABLATION = "ablation"
"""Where an ablation lies in its run's folder; of another prompt than the winner, with the prompt's id after it."""
LOG = "vllm.log"
_LONGEST_NAME = 200
"""Bytes of a run's name: file systems allow 255, and what is made of the name is longer."""
_SHORT = 60
"""Bytes of a prompt's or model's name that a run's is made of."""
GUESTS = ("optuna", "openai", "ctranslate2", "datasets", "numpy", "scipy", "pandas", "SQLAlchemy", "pydantic")


@dataclass(frozen=True)
class RunFolder:
    """An opened run folder; ``server`` is where the run is kept when it is not in the folder."""

    path: Path
    config: RunConfig
    digest: str
    resumed: bool
    server: Address | None = None

    @property
    def database(self) -> Path | Address:
        """The run's SQLite file, or its address on a server."""
        return self.server or self.path / DATABASE

    @property
    def study(self) -> str:
        """URL of the study for optuna-dashboard: a file of its own, since a SQLite file takes one writer."""
        if self.server is not None:
            return self.server.inside
        return f"sqlite:///{(self.path / STUDY).resolve()}"

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name


def open_run(
    config: RunConfig,
    runs: Path,
    name: str | None,
    *,
    contents: Mapping[str, str] | None = None,
    must_exist: bool = False,
) -> RunFolder:
    """Create a run's folder, or open it again when it was started with the same configuration.

    Args:
        config: what is asked now.
        runs: the folder of all runs.
        name: folder name under ``runs``, a path, or None for a name made of command, space, model and digest.
        contents: what the named files say, as digests by name; a changed file is another configuration.
        must_exist: refuse to create (``--resume``).

    Raises:
        ResumeRefused: started with another configuration; the message shows the difference.
        StoreError: the folder cannot be written.
    """
    if name is not None:
        check_name(name)
    decisive = config.decisive() | {"contents": dict(contents or {})}
    digest = digest_of(decisive)
    path = _place(config, runs, name, digest)
    config, server = _without_secrets(config, path)
    kept = path / CONFIG
    if kept.exists():
        before = _read(kept)
        changed = differences(before.get("decisive", {}), decisive)
        if changed:
            raise ResumeRefused(
                f"{path} was started with another configuration: {'; '.join(changed)}. "
                "Results would not be comparable: restore it, or start a new run with --run NAME"
            )
        asked = config.model_dump(mode="json")
        if asked != before["config"]:  # a raised budget, another speed or place: reports tell the latest
            _keep(path, before | {"config": asked})
        return RunFolder(path, config, digest, resumed=True, server=server)
    if must_exist:
        raise ConfigError(f"nothing to resume: no run at {path}; leave out --resume to start it")
    _keep(path, {
        "digest": digest,
        "decisive": decisive,
        "config": config.model_dump(mode="json"),
        "versions": versions(),
    })  # fmt: skip
    return RunFolder(path, config, digest, resumed=False, server=server)


def _keep(path: Path, value: Mapping[str, Any]) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / CONFIG, value)
    except OSError as error:
        raise StoreError(
            f"cannot write the run folder {path}: {error.strerror or error}; "
            "free space or choose another folder with --runs DIR"
        ) from error


def load_run(runs: Path, name: str, store: str | None = None) -> RunFolder:
    """Open a finished or interrupted run for reading; ``store`` stands for the database's URL that it kept.

    Raises:
        ConfigError: there is none of that name. StoreError: its configuration cannot be read.
    """
    path = Path(name) if (Path(name) / CONFIG).exists() else runs / name
    if not (path / CONFIG).exists():
        there = sorted(found.parent.name for found in runs.glob(f"*/{CONFIG}"))
        raise ConfigError(f"no run '{name}' (looked for {path / CONFIG}); runs here: {', '.join(there) or 'none'}")
    kept = _read(path / CONFIG)
    try:
        config = restore_config(kept["config"])
    except ConfigError as error:
        raise StoreError(
            f"{path / CONFIG}: {error}; damaged, or written by another release of defender: read it with that one"
        ) from error
    if store is not None:
        config = config.model_copy(update={"store": store})
    config, server = _without_secrets(config, path)
    return RunFolder(path, config, str(kept["digest"]), resumed=True, server=server)


def versions() -> dict[str, str]:
    """Return the versions that a reader of the numbers may want."""
    found = {"defender": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for guest in GUESTS:
        try:
            found[guest] = version(guest)
        except PackageNotFoundError:
            found[guest] = "absent"
    return found


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def check_name(name: str) -> None:
    """Refuse a name that no folder of a run can have. Raises ConfigError."""
    last = Path(name).name
    if last in ("", "..") or not last.isprintable() or len(last.encode(errors="replace")) > _LONGEST_NAME:
        raise ConfigError(
            f"--run: expected a name such as 'first', or the path of a run's folder, got {name[:80]!r}; without --run "
            "one is made"
        )


def _place(config: RunConfig, runs: Path, name: str | None, digest: str) -> Path:
    if name is None:
        what = Path(config.prompts[0]).stem if config.prompts else Path(config.space).stem
        model = config.model.name.rsplit("/", 1)[-1]
        # A check asks what is true today: without a name it never goes on with yesterday's answers.
        when = time.strftime("-%Y%m%dT%H%M%SZ", time.gmtime()) if config.command == "check" else ""
        return runs / f"{config.command}-{_short(what)}-{_short(model)}-{digest[:8]}{when}"
    return Path(name) if "/" in name else runs / name


def _short(name: str) -> str:
    """Return a name that a run's may be made of: on one line, and short."""
    kept = "".join(sign if sign.isprintable() else "-" for sign in name)
    return kept.encode()[:_SHORT].decode(errors="ignore")


def _without_secrets(config: RunConfig, path: Path) -> tuple[RunConfig, Address | None]:
    """Return the configuration without a password, and the run's address on a server, where it has one."""
    if config.store is None:
        return config, None
    return config.model_copy(update={"store": without_password(config.store)}), address_of(config.store, path.name)


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {path}: {error}; the folder is not a run of defender, or is damaged") from error
    if not isinstance(value, dict) or not {"config", "decisive", "digest"} <= value.keys():
        raise StoreError(f"{path} is not a run of defender; choose another folder with --run NAME")
    return value
