"""Exact scores: the probability of the right first token, read off the model instead of sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from defender.engines.embedded.runtime import Runtime
from defender.miniature import first_word

CHUNK = 2048


def exact_scores(
    runtime: Runtime, conversations: Sequence[Sequence[Mapping[str, str]]], gold: Sequence[str]
) -> NDArray[np.float64]:
    """Return P(first generated token == first token of the gold answer) for each conversation, in [0, 1].

    Args:
        runtime: The loaded model.
        conversations: Chat messages of each cell.
        gold: The full gold answer sentence of each cell.
    """
    ids = [runtime.first_token_id(first_word(answer)) for answer in gold]
    scores = np.empty(len(ids))
    for start in range(0, len(ids), CHUNK):
        prompts = [runtime.encode_chat(messages) for messages in conversations[start : start + CHUNK]]
        chances = runtime.first_logprobs(prompts)
        picked = chances[np.arange(len(prompts)), ids[start : start + CHUNK]]
        scores[start : start + CHUNK] = np.exp(picked.astype(np.float64))
    return scores
