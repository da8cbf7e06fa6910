"""What a run file's ``model`` section leaves out, filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from defender.settings import EMBEDDED


def filled(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``model`` section of a run file with what it leaves out: the name of a model that vLLM serves here."""
    section = dict(model)
    vllm = section.get("vllm")
    if isinstance(vllm, str) and vllm and section.get("name", EMBEDDED) == EMBEDDED:
        from defender.engines.vllm_launch import named

        server = section.get("server")
        adapter = server.get("lora") if isinstance(server, Mapping) else None
        section["name"] = named(str(adapter or vllm))
    return section
