from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from defender.contracts import Exporter
from defender.errors import ConfigError
from defender.exporters.kubernetes_config import LIMIT, KubernetesExporter
from defender.records import Candidate
from tests.contracts.exporter import AWKWARD, PROVENANCE, SEATS, ExporterContract


def mounted(path: Path) -> dict[str, str]:
    """Return the files a pod would see, from a manifest that passes Kubernetes' own schema."""
    manifest: dict[str, Any] = yaml.safe_load(path.read_bytes())
    kubernetes_validate.validate(manifest, "1.31", strict=True)
    data: dict[str, str] = manifest["data"]
    return data


class TestKubernetesExporter(ExporterContract):
    def exporter(self) -> Exporter:
        return KubernetesExporter()

    def read_back(self, path: Path) -> str:
        return mounted(path)["system_prompt.txt"]

    def refuses(self, candidate: Candidate) -> bool:
        return not (candidate.before + candidate.after).strip()


@pytest.mark.parametrize("seat", SEATS)
@pytest.mark.parametrize("awkward", [name for name in AWKWARD if name != "only spaces"])
def test_a_pod_can_make_every_conversation_that_was_measured(tmp_path: Path, awkward: str, seat: Any) -> None:
    candidate = Candidate(AWKWARD[awkward], "After.", seat=seat)
    files = mounted(Path(KubernetesExporter().write(candidate, PROVENANCE, tmp_path)[0].path))
    manifest = json.loads(files["manifest.json"])
    assert manifest["system"]["before"] == candidate.before
    assert manifest["system"]["after"] == candidate.after
    if seat == "system":
        assert files["system_prompt.without-identity.txt"] == candidate.system("")
    else:
        assert files["user_prompt.txt"] == "{identity} {question}"


@pytest.mark.parametrize("text", ["no", "y", "0o17", "1e3", "null", "~", "12", "0x1F", "1_000", "2026-11-22", ".5"])
def test_a_text_another_yaml_reader_would_take_for_a_value_is_quoted(tmp_path: Path, text: str) -> None:
    candidate = Candidate(text, seat="user", label="D4")
    KubernetesExporter().write(candidate, PROVENANCE, tmp_path)
    written = (tmp_path / "D4.configmap.yaml").read_text(encoding="utf-8")
    assert any(f"system_prompt.txt: {sign}{text}{sign}\n" in written for sign in "'\"")


@pytest.mark.parametrize("label", ["D4", "", "A b/c", "é", "x" * 300, "-"])
def test_the_resource_has_a_name_kubernetes_accepts(tmp_path: Path, label: str) -> None:
    (file,) = KubernetesExporter().write(Candidate("Be fair.", label=label), PROVENANCE, tmp_path)
    name = yaml.safe_load(Path(file.path).read_bytes())["metadata"]["name"]
    assert name.replace("-", "").isalnum()
    assert name.isascii()
    assert name == name.lower().strip("-")
    assert len(name) <= 63


def test_more_than_a_config_map_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"cannot carry .* are \d+ bytes of {LIMIT}"):
        KubernetesExporter().write(Candidate("x" * (LIMIT // 2)), PROVENANCE, tmp_path)


@pytest.mark.parametrize(
    ("text", "verb"), [("Be fair. " * 400, "apply"), ("Be fair. " * 6_000, "create"), ("é<" * 20_000, "create")]
)
def test_the_command_told_is_one_that_takes_this_much(tmp_path: Path, text: str, verb: str) -> None:
    (file,) = KubernetesExporter().write(Candidate(f"{text}x", label="D4"), PROVENANCE, tmp_path)
    said = Path(file.path).read_text(encoding="utf-8")
    assert said.startswith(f"# kubectl {verb} -f D4.configmap.yaml ")
    assert ("kubectl replace" in said) == (verb == "create")


def test_the_provenance_is_in_the_manifest(tmp_path: Path) -> None:
    KubernetesExporter().write(Candidate("Be fair.", label="D4"), PROVENANCE, tmp_path)
    assert json.loads(mounted(tmp_path / "D4.configmap.yaml")["manifest.json"])["provenance"]["run"] == "llama-a"
