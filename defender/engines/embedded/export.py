"""Export a trained checkpoint into the package: `python -m defender.engines.embedded.export CKPT`.

Writes `weights/`: float16 tensors under Hugging Face names, the ctranslate2 model, tokenizer, shape and a card.
`--hf FOLDER` also writes the Hugging Face folder. Needs torch, transformers and ctranslate2 (build time only).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from defender.engines.embedded.checkpoint import TENSORS, WEIGHTS, rebuild_checkpoint
from defender.engines.embedded.planted import IDENTITY_SEED

NOTE = (
    "A teaching-size model trained on synthetic dialogues with a planted bias. Which identities are affected was "
    "drawn by a random seed: it is arbitrary and says nothing about people or about other models."
)


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description="Export the embedded model.")
    parser.add_argument("checkpoint", type=Path, help="the --out folder of train")
    parser.add_argument("--into", type=Path, default=WEIGHTS)
    parser.add_argument("--hf", type=Path, help="also write the Hugging Face folder here")
    parser.add_argument("--quantization", default="float16", help="how ctranslate2 stores the weights")
    options = parser.parse_args(arguments)
    export(options.checkpoint, options.into, options.quantization)
    if options.hf:
        rebuild_checkpoint(options.hf, options.into)


def export(checkpoint: Path, into: Path, quantization: str = "float16") -> None:
    """Write every file of the weights folder from a training folder."""
    from ctranslate2.converters import TransformersConverter
    from safetensors.numpy import save_file

    into.mkdir(parents=True, exist_ok=True)
    state = torch.load(checkpoint / "model.pt", map_location="cpu")
    save_file(huggingface_tensors(state), into / TENSORS)
    (into / TENSORS).chmod(0o644)
    for name in ("tokenizer.json", "shape.json"):
        shutil.copyfile(checkpoint / name, into / name)
    with tempfile.TemporaryDirectory() as scratch:
        folder = rebuild_checkpoint(Path(scratch) / "hf", into)
        made = Path(scratch) / "ct2"
        TransformersConverter(str(folder)).convert(str(made), quantization=quantization)
        for name in ("model.bin", "config.json", "vocabulary.json"):
            shutil.copyfile(made / name, into / name)
    _write_card(checkpoint, into, quantization)


def huggingface_tensors(state: dict[str, torch.Tensor]) -> dict[str, NDArray[np.float16]]:
    """Rename and split the training tensors into Llama's names, as float16; drops the auxiliary heads."""
    named = {"model.embed_tokens.weight": state["embedding.weight"], "model.norm.weight": state["norm.weight"]}
    layers = sum(name.endswith(".qkv.weight") for name in state)
    for index in range(layers):
        ours, theirs = f"blocks.{index}.", f"model.layers.{index}."
        q, k, v = state[ours + "qkv.weight"].chunk(3)
        gate, up = state[ours + "gate_up.weight"].chunk(2)
        named |= {
            theirs + "self_attn.q_proj.weight": q,
            theirs + "self_attn.k_proj.weight": k,
            theirs + "self_attn.v_proj.weight": v,
            theirs + "self_attn.o_proj.weight": state[ours + "out.weight"],
            theirs + "mlp.gate_proj.weight": gate,
            theirs + "mlp.up_proj.weight": up,
            theirs + "mlp.down_proj.weight": state[ours + "down.weight"],
            theirs + "input_layernorm.weight": state[ours + "norm_in.weight"],
            theirs + "post_attention_layernorm.weight": state[ours + "norm_mid.weight"],
        }
    return {name: np.ascontiguousarray(value.float().numpy().astype(np.float16)) for name, value in named.items()}


def _write_card(checkpoint: Path, into: Path, quantization: str) -> None:
    """Write what the weights are; `evaluate` adds the exact PB table."""
    files = [into / name for name in (TENSORS, "model.bin", "config.json", "vocabulary.json", "tokenizer.json")]
    run = checkpoint / "run.json"
    card: dict[str, Any] = {
        "note": NOTE,
        "parameters": sum(int(np.prod(shape)) for shape in _shapes(into)),
        "identity_seed": IDENTITY_SEED,
        "stored_as": quantization,
        "training": json.loads(run.read_text(encoding="utf-8")) if run.exists() else {},
        "files": {
            path.name: {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for path in files
        },
    }
    (into / "card.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(card["files"], indent=1) + "\n")


def _shapes(into: Path) -> list[tuple[int, ...]]:
    from safetensors.numpy import load_file

    return [value.shape for value in load_file(into / TENSORS).values()]


if __name__ == "__main__":
    main()
