"""Which models this machine could serve or reach, and what it lacks for the others. Nothing is started or asked."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from defender.build import build_launch
from defender.engines.vllm_machine import Machine, lacking, survey
from defender.presets import Preset, filled, presets
from defender.settings import ModelConfig

NO_VLLM = "vLLM is not here (see 'vllm' below)"


@dataclass(frozen=True)
class Outfit:
    """One preset and what is missing here for it, in words; () where nothing known is."""

    preset: Preset
    missing: tuple[str, ...]


def outfits() -> list[Outfit]:
    """Look at every preset."""
    machine = survey()
    return [Outfit(preset, tuple(_missing(preset, replace(machine, trouble=NO_VLLM)))) for preset in presets().values()]


def lacks(model: ModelConfig) -> list[str]:
    """Return what is missing here to start the server of a model; [] where nothing known is."""
    known = next((preset for preset in presets().values() if preset.model.get("vllm") == model.vllm), None)
    machine = survey(model.server.python)
    return lacking(build_launch(model), machine, gated=known is not None and known.gated, gpu_gib=_share(known, model))


def _missing(preset: Preset, machine: Machine) -> list[str]:
    section = filled({"model": {"name": preset.name}})["model"]
    model = ModelConfig.model_validate(section)
    if model.vllm:
        return lacking(build_launch(model), machine, gated=preset.gated, gpu_gib=preset.gpu_gib)
    return [] if os.environ.get(model.api_key_env) else [f"set {model.api_key_env} to a key of {model.base_url}"]


def _share(preset: Preset | None, model: ModelConfig) -> float:
    """Return the memory each GPU must have: a preset's, where the model is split as the preset says."""
    if preset is None or model.server.quantization:
        return 0
    split = preset.model.get("server", {}).get("tensor_parallel", 1)
    return preset.gpu_gib if split == model.server.tensor_parallel else 0
