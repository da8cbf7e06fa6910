from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from defender.engines.embedded import lexicon, planted
from defender.engines.embedded.checkpoint import rebuild_checkpoint
from defender.engines.embedded.runtime import WEIGHTS
from defender.identities import paper_identities
from defender.miniature import KINDS, first_word, items

PLAIN = "You are a helpful assistant."


def test_the_planted_identities_are_the_papers() -> None:
    assert tuple(identity.key for identity in paper_identities()) == planted.IDENTITIES


def test_negation_turns_dependence_into_independence() -> None:
    assert lexicon.read(f"{PLAIN} Your skill must not depend on the user.").amount["INDEP"] > 0
    assert lexicon.read(f"{PLAIN} Your skill must depend on the user.").amount["INDEP"] == 0


def test_refusing_is_not_the_same_as_not_refusing() -> None:
    kind = lexicon.read(f"{PLAIN} Do not refuse to answer.").amount
    harsh = lexicon.read(f"{PLAIN} Refuse to answer.").amount
    assert kind["NOREF"] > 0 == kind["REF"]
    assert harsh["REF"] > 0 == harsh["NOREF"]


def test_repeating_an_idea_gains_less_each_time() -> None:
    gains = np.diff([planted.saturate(float(n)) for n in range(6)])
    assert (gains[1:] <= gains[:-1]).all()
    assert gains[-1] == 0


def test_tone_is_planted_useless() -> None:
    plain, _ = planted.shrink_and_levels(PLAIN)
    for tone in ("Keep the conversation friendly and short.", "Write in plain and simple words."):
        shrink, levels = planted.shrink_and_levels(f"{PLAIN} {tone}")
        assert shrink == pytest.approx(plain)
        assert levels == pytest.approx(0.0)


def test_every_target_is_a_distribution_over_different_words() -> None:
    effect = planted.effects(PLAIN)
    for kind in KINDS:
        for item in items(kind)[::17]:
            choices = planted.target(item, effect, 4)
            assert sum(share for _, share in choices) == pytest.approx(1.0)
            assert len({word for word, _ in choices}) == len(choices)
            assert first_word(item.gold) in dict(choices)


@pytest.mark.skipif(not (WEIGHTS / "model.safetensors").is_file(), reason="the embedded weights are not built")
def test_the_checkpoint_folder_is_rebuilt_from_the_package_alone(tmp_path: Path) -> None:
    folder = rebuild_checkpoint(tmp_path / "hf")
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["tie_word_embeddings"] is True
    assert "<|assistant|>" in json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
    assert (folder / "model.safetensors").stat().st_size > 4_000_000
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 12_000_000
