"""What a model's short name stands for: ``--model llama-3.1-8b`` is a run file's ``model`` section, written once.

The models of the paper are in ``presets.yaml``. What a run file or the command line says goes over what a preset says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from defender.documents import read_yaml
from defender.settings import EMBEDDED

HOME = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class Preset:
    """One model, ready to be asked for by name.

    Attributes:
        model: the ``model`` section of a run file. ``price``: dollars per million tokens, {} for a server of one's own.
        about: what to know before comparing with the paper.
        gated: whether the hub wants an account that accepted its terms.
        gpu_gib: memory each GPU must have; 0 for an API.
    """

    name: str
    title: str
    model: Mapping[str, Any]
    price: Mapping[str, float] = field(default_factory=dict)
    about: str = ""
    gated: bool = False
    gpu_gib: int = 0


def presets() -> dict[str, Preset]:
    """Return every preset by name."""
    return {name: Preset(name, **said) for name, said in read_yaml(HOME).data.items()}


def filled(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run file's content with what it leaves out of models: a preset's settings and price, a model's name.

    A name is a preset's only where no server is given: a server may call its models as it likes. Each of ``models`` is
    a name or a section, laid over ``model``; the first stands in for ``model``.
    """
    whole = dict(data)
    section, several = whole.get("model"), whole.get("models")
    prices: dict[str, Any] = {}
    if isinstance(several, list | tuple) and several:
        shared = section if isinstance(section, Mapping) else {}
        whole["models"] = [_settled(shared, entry, prices) for entry in several]
        whole["model"] = whole["models"][0]
    elif isinstance(section, Mapping):
        whole["model"] = _settled({}, section, prices)
    if prices:
        whole["prices"] = {**prices, **(whole.get("prices") or {})}
    return whole


def _settled(shared: Mapping[str, Any], entry: object, prices: dict[str, Any]) -> Any:
    """Return one ``model`` section, whole; a preset's price goes into ``prices``. What is no section is left alone."""
    said = {"name": entry} if isinstance(entry, str) else entry
    if not isinstance(said, Mapping):
        return entry
    section = _over(shared, said)
    name = section.get("name", EMBEDDED)
    if name != EMBEDDED and not section.get("base_url") and not section.get("vllm"):
        preset = presets().get(str(name))
        if preset is not None:
            del section["name"]
            section = _over(preset.model, section)
            if preset.price:
                prices[section["name"]] = dict(preset.price)
    vllm = section.get("vllm")
    if isinstance(vllm, str) and vllm and section.get("name", EMBEDDED) == EMBEDDED:
        section["name"] = _named(vllm, section.get("server"))
    return section


def _named(vllm: str, server: object) -> str:
    """Return what a model that is served here is called: its adapter's name where it has one."""
    from defender.engines.vllm_launch import named

    adapter = server.get("lora") if isinstance(server, Mapping) else None
    return named(str(adapter or vllm))


def _over(under: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one section over another, sections within them too."""
    both = dict(under)
    for key, value in said.items():
        before = both.get(key)
        both[key] = _over(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return both
