"""Rebuild the embedded model as a Hugging Face folder that vLLM serves, from what ships in the package.

Needs only numpy and safetensors: no torch, no transformers, no network.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTS = Path(__file__).with_name("weights")
TENSORS = "model.safetensors"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
PAD, BOS, EOS = "<|pad|>", "<|bos|>", "<|eos|>"


def rebuild_checkpoint(into: Path, weights: Path = WEIGHTS) -> Path:
    """Write a `LlamaForCausalLM` folder: config, tokenizer, chat template and float32 weights.

    Args:
        into: The folder to write; made if missing, files of the same name are replaced.
        weights: The package's weights folder.

    Returns:
        The folder written.

    Raises:
        FileNotFoundError: The weights folder is incomplete.
    """
    from safetensors.numpy import load_file, save_file

    shape = json.loads((weights / "shape.json").read_text(encoding="utf-8"))
    tensors = {name: value.astype(np.float32) for name, value in load_file(weights / TENSORS).items()}
    into.mkdir(parents=True, exist_ok=True)
    save_file(tensors, into / TENSORS, metadata={"format": "pt"})
    (into / TENSORS).chmod(0o644)
    shutil.copyfile(weights / "tokenizer.json", into / "tokenizer.json")
    _write(into / "config.json", _config(shape))
    _write(into / "generation_config.json", {**_token_ids(), "do_sample": True, "temperature": 1.0})
    _write(into / "special_tokens_map.json", {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD})
    _write(into / "tokenizer_config.json", _tokenizer_config(shape["positions"]))
    (into / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    return into


def _token_ids() -> dict[str, Any]:
    return {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def _config(shape: dict[str, Any]) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape["vocabulary"],
        "hidden_size": shape["width"],
        "intermediate_size": shape["inner"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["heads"],
        "head_dim": shape["width"] // shape["heads"],
        "max_position_embeddings": shape["positions"],
        "rms_norm_eps": 1e-6,
        "rope_theta": shape["rope_base"],
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        **_token_ids(),
    }


def _tokenizer_config(positions: int) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "add_bos_token": False,
        "model_max_length": positions,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
