"""What vLLM is started with: words, names, and what is refused before anything starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from defender.engines.vllm_launch import INSTALL, MODULE, Launch, command, find_python, named
from defender.engines.vllm_machine import survey
from defender.errors import ConfigError
from tests.engines.fake_vllm import installed, model

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def test_the_words_of_a_plain_launch() -> None:
    assert Launch(LLAMA).words(8000) == [
        *("--model", LLAMA, "--served-model-name", LLAMA, "--host", "127.0.0.1", "--port", "8000"),
        *("--dtype", "auto", "--generation-config", "vllm"),
    ]


def test_the_words_of_every_setting() -> None:
    launch = Launch(
        LLAMA, revision="abc", lora="me/adapter", lora_rank=32, dtype="bfloat16", quantization="awq",
        chat_template="plain.jinja", generation_config="auto", flags=("--seed", "7"), max_model_len=8192,
        tensor_parallel=4, gpu_memory_utilization=0.8, prefix_caching=True, load_format="dummy",
    )  # fmt: skip
    assert launch.words(1)[8:] == [
        *("--dtype", "bfloat16", "--generation-config", "auto", "--revision", "abc", "--tokenizer-revision", "abc"),
        *("--quantization", "awq", "--chat-template", "plain.jinja", "--max-model-len", "8192"),
        *("--tensor-parallel-size", "4", "--gpu-memory-utilization", "0.8", "--load-format", "dummy"),
        *("--enable-prefix-caching", "--enable-lora", "--max-lora-rank", "32"),
        *("--lora-modules", "me/adapter=me/adapter", "--seed", "7"),
    ]
    assert launch.served_name == "me/adapter"


@pytest.mark.parametrize(
    ("place", "name"),
    [(LLAMA, LLAMA), ("gpt2", "gpt2"), ("/models/mine/", "mine"), ("./mine", "mine"), ("a/b/c", "c")],
)
def test_a_hub_id_is_its_name_and_a_folder_is_called_by_its_last_part(place: str, name: str) -> None:
    assert named(place) == name


def test_a_folder_that_looks_like_a_hub_id_is_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model(tmp_path, "me/mine")
    monkeypatch.chdir(tmp_path)
    assert Launch("me/mine").served_name == "mine"
    Launch("me/mine").check()


def test_the_commit_of_a_hub_model_is_read_from_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert Launch(LLAMA, revision="main").commit == "main", "not downloaded yet"
    before = Launch(LLAMA).digest()
    refs = tmp_path / "models--meta-llama--Llama-3.1-8B-Instruct" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("0e9e39f2")
    assert Launch(LLAMA).commit == Launch(LLAMA, revision="main").commit == "0e9e39f2"
    assert Launch(LLAMA).digest() == before, "a server that downloaded its model is the one that was asked for"
    assert Launch(LLAMA, revision="abc").commit == "abc"


@pytest.mark.parametrize("place", ["/nowhere/model", "./nowhere", "~/nowhere/at/all"])
def test_a_folder_that_is_not_there_is_named_with_what_to_give(place: str) -> None:
    with pytest.raises(ConfigError, match=r"model folder not found: .*nowhere.* or a hub id such as meta-llama"):
        Launch(place).check()
    with pytest.raises(ConfigError, match="LoRA adapter folder not found"):
        Launch(LLAMA, lora=place).check()


def test_a_folder_without_a_configuration_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        Launch(str(tmp_path)).check()


def test_a_chat_template_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"chat template not found: gone\.jinja"):
        Launch(LLAMA, chat_template="gone.jinja").check()


def test_without_vllm_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEFENDER_VLLM_PYTHON", raising=False)
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    bare.chmod(0o755)
    for asked in (str(bare), "/nowhere/python"):
        with pytest.raises(ConfigError, match=r"vLLM.*pip install '\.\[vllm\]' in the clone.*DEFENDER_VLLM_PYTHON"):
            find_python(asked)
    assert survey(str(bare)).trouble == f"vLLM is not installed beside {bare}; {INSTALL}"


def test_the_python_asked_for_wins_over_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", installed(tmp_path)["PYTHONPATH"])
    monkeypatch.setenv("DEFENDER_VLLM_PYTHON", "/nowhere/python")
    python, vllm = find_python(sys.executable)
    assert (python, vllm) == (sys.executable, tmp_path / "vllm")
    with pytest.raises(ConfigError, match="/nowhere/python"):
        find_python()


def test_a_release_without_the_module_is_started_by_its_command(tmp_path: Path) -> None:
    installed(tmp_path)
    launch, place = Launch(LLAMA), tmp_path / "vllm"
    assert command(launch, "python", place, 1)[:5] == ["python", "-m", MODULE, "--model", LLAMA]
    (place / "entrypoints" / "openai" / "api_server.py").unlink()
    words = command(launch, "python", place, 1)
    assert words[2:6] == ["vllm.entrypoints.cli.main", "serve", LLAMA, "--served-model-name"]
