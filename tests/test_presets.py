"""A model's short name stands for a run file's ``model`` section."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from defender.build import build_launch
from defender.config import RunConfig, load_config
from defender.equipment import NO_VLLM, outfits
from defender.errors import ConfigError
from defender.presets import presets

HERE = ("mistral-7b", "mixtral-8x7b", "llama-3.1-8b", "llama-3.1-70b", "llama-2-13b", "llama-2-70b")
ELSEWHERE = ("gpt-3.5", "gpt-4o")


def settled(name: str, **more: object) -> RunConfig:
    return load_config(None, {"model.name": name, **{f"model.{key}": value for key, value in more.items()}})


def test_the_papers_eight_models_have_names() -> None:
    assert tuple(presets()) == (*HERE, *ELSEWHERE)


@pytest.mark.parametrize("name", HERE)
def test_a_model_of_ones_own_is_pinned_fits_and_shares_beginnings(name: str) -> None:
    config = settled(name)
    launch = build_launch(config.model)
    launch.check()
    assert config.model.name == config.model.vllm == launch.served_name
    assert re.fullmatch("[0-9a-f]{40}", launch.revision)
    assert launch.dtype == "bfloat16"
    assert launch.prefix_caching
    assert config.model.system_role == ("user" if name.startswith("mi") else "system"), "their templates have no other"
    assert launch.max_model_len == (4096 if "llama-2" in name else 8192)
    assert launch.tensor_parallel == {"mixtral-8x7b": 2, "llama-3.1-70b": 4, "llama-2-70b": 4}.get(name, 1)
    assert config.benchmark_names == ("mmlu", "do_not_answer")


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_model_of_an_api_names_its_address_and_where_its_key_is(name: str) -> None:
    model = settled(name).model
    assert (model.base_url, model.api_key_env) == ("https://api.openai.com/v1", "OPENAI_API_KEY")
    assert model.name.startswith(name)
    price = settled(name).prices[model.name]
    assert 0 < price.input < price.output


def test_a_run_files_price_goes_over_the_presets() -> None:
    config = load_config(None, {"model.name": "gpt-4o", "prices": {"gpt-4o": {"input": 1, "output": 2}}})
    assert config.prices["gpt-4o"].output == 2


def test_what_is_said_goes_over_the_preset_and_the_rest_stays(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: {name: llama-3.1-8b, max_tokens: 64, server: {max_model_len: 2048, lora: me/adapter}}\n")
    model = load_config(file, {}).model
    assert (model.vllm, model.name, model.max_tokens) == ("meta-llama/Llama-3.1-8B-Instruct", "me/adapter", 64)
    assert (model.server.max_model_len, model.server.dtype, model.server.lora) == (2048, "bfloat16", "me/adapter")


def test_a_server_that_is_given_may_call_its_models_as_it_likes() -> None:
    model = settled("llama-3.1-8b", base_url="http://localhost:1/v1").model
    assert (model.name, model.vllm) == ("llama-3.1-8b", "")


def test_an_unknown_name_without_a_server_lists_the_presets() -> None:
    with pytest.raises(ConfigError, match=r"preset: --model mistral-7b, .*gpt-4o"):
        settled("llama-3.1-9b")


def test_a_preset_is_the_same_run_as_its_settings_written_out() -> None:
    short = settled("llama-3.1-8b")
    long = load_config(None, {"model.vllm": short.model.vllm, "model.server": short.model.server.model_dump()})
    assert short.decisive() == long.decisive()


def test_what_is_missing_is_said_for_every_preset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEFENDER_VLLM_PYTHON", "/nowhere/python")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    found = {outfit.preset.name: "; ".join(outfit.missing) for outfit in outfits()}
    assert all(found[name].startswith(NO_VLLM) for name in HERE)
    assert "it wants 4 GPUs of 44 GiB or more" in found["llama-3.1-70b"]
    assert "set HF_TOKEN" in found["llama-2-13b"]
    assert "HF_TOKEN" not in found["mixtral-8x7b"]
    assert all(found[name] == "set OPENAI_API_KEY to a key of https://api.openai.com/v1" for name in ELSEWHERE)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    assert {outfit.preset.name for outfit in outfits() if not outfit.missing} == set(ELSEWHERE)
