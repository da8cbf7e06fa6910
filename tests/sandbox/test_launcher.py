from __future__ import annotations

import sys

import pytest

from defender.errors import ConfigError
from defender.sandbox import launcher
from defender.sandbox.inside.kernel import Kernel, WallMissing
from defender.sandbox.launcher import external, landlock
from defender.sandbox.sandbox import Sandbox, open_sandbox
from tests.sandbox.conftest import TIGHT, launcher_or_skip
from tests.sandbox.test_attacks import HONEST, TEST


def no_landlock(kernel: Kernel) -> int:
    raise WallMissing("landlock: Function not implemented")


def test_a_kernel_without_landlock_is_refused_with_every_way_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "landlock_abi", no_landlock)
    with pytest.raises(ConfigError) as refusal:
        open_sandbox()
    text = str(refusal.value)
    assert "landlock: " in text
    for way in ("Linux 5.13", "bubblewrap", "external", "docker run", "leave 'mbpp' out"):
        assert way in text


def test_another_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigError, match="this is darwin"):
        landlock()


def test_without_bwrap_bubblewrap_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="'bwrap' on the PATH"):
        open_sandbox("bubblewrap")


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="landlock, bubblewrap, external"):
        open_sandbox("none")


@pytest.mark.parametrize(("command", "what"), [((), "needs the command"), (("no-such-program",), "'no-such-program'")])
def test_an_external_sandbox_needs_a_command_that_exists(command: tuple[str, ...], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        external(command)


def test_an_external_command_grades_and_gets_what_walls_there_are() -> None:
    sandbox = open_sandbox("external", ["env", "-i", "PYTHONHASHSEED=0", landlock_python()], TIGHT)
    assert sandbox.check_now(HONEST, TEST).passed
    assert sandbox.check_now("def solve(n):\n    return 5", TEST).passed is False
    assert "seccomp" in sandbox.walls


def test_an_external_command_that_is_no_python_is_refused_with_its_own_words() -> None:
    with pytest.raises(ConfigError, match="without a verdict"):
        open_sandbox("external", ["ls", "/nowhere"], TIGHT)


def test_the_command_line_and_environment_hold_neither_job_nor_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    made = launcher_or_skip("landlock")
    assert "secret" not in "".join(made.environment.values())
    assert set(made.environment) <= {"PYTHONHASHSEED", "PYTHONUTF8", "LD_LIBRARY_PATH"}


def test_the_sandbox_s_name_says_its_kind_and_version() -> None:
    assert Sandbox(launcher_or_skip("landlock")).name == "landlock@1"


def landlock_python() -> str:
    return launcher_or_skip("landlock").command[-1]
