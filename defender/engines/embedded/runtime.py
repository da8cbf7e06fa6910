"""Run the embedded model: first-token log-probabilities and seeded sampling on ctranslate2.

Sampling is ours: ctranslate2 has one seed for a whole batch, while here each request's own seed alone decides its
draws. A request asks greedily for a whole answer with logits, walks along it drawing from each distribution, and
asks again from the first token where the draw left the greedy path. That is exact and needs few calls.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

WEIGHTS = Path(__file__).with_name("weights")
EOS = "<|eos|>"
LONGEST_CONTEXT = 1024
BATCH = 32
CHUNK = 256

Floats = NDArray[np.float32]
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Sampling:
    """How one request is to be sampled; `top_k` 0 and `top_p` 1 keep every token, temperature 0 is greedy."""

    max_tokens: int = 16
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None


@dataclass(frozen=True)
class Generated:
    """What one request got: text, why it ended, and how many tokens were made (the end mark included)."""

    text: str
    finish_reason: FinishReason
    tokens: int


@dataclass
class _Walk:
    prompt: list[str]
    sampling: Sampling
    rng: np.random.Generator
    made: list[int] = field(default_factory=list)
    ended: FinishReason | None = None


class Runtime:
    """The embedded model in memory. Calls are thread-safe and use `workers` one-thread workers."""

    def __init__(self, weights: Path | None = None, workers: int | None = None, compute_type: str = "int8") -> None:
        """Load the model.

        Args:
            weights: A weights folder; the package's own by default.
            workers: How many batches run at once; one a usable core by default.
            compute_type: What ctranslate2 computes in ("int8", "float32").

        Raises:
            FileNotFoundError: The weights folder has no model.
        """
        import ctranslate2
        from tokenizers import Tokenizer

        folder = weights or WEIGHTS
        if not (folder / "model.bin").is_file():
            raise FileNotFoundError(f"expected the embedded model in {folder}, found no model.bin")
        self.workers = workers or usable_cores()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._generator = ctranslate2.Generator(
            str(folder),
            device="cpu",
            compute_type=compute_type,
            inter_threads=self.workers,
            intra_threads=1,
        )
        self._text_of = [self._tokenizer.decode([i], skip_special_tokens=False) for i in range(self.vocabulary)]
        self._eos = cast(int, self._tokenizer.token_to_id(EOS))

    @property
    def vocabulary(self) -> int:
        """Return how many tokens there are."""
        return self._tokenizer.get_vocab_size()

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[str]:
        """Return the tokens of a conversation in the chat template, up to the open assistant turn.

        Raises:
            ValueError: A role is unknown, or the conversation exceeds the context.
        """
        parts = []
        for message in messages:
            if message["role"] not in ("system", "user", "assistant"):
                raise ValueError(f"expected role system, user or assistant, got {message['role']!r}")
            parts.append(f"<|{message['role']}|>{message['content']}")
        parts.append("<|assistant|>")
        tokens = self._tokenizer.encode("".join(parts), add_special_tokens=False).tokens
        if len(tokens) > LONGEST_CONTEXT:
            raise ValueError(f"expected at most {LONGEST_CONTEXT} tokens, got {len(tokens)}")
        return tokens

    def first_token_id(self, text: str) -> int:
        """Return the token id a text begins with."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids[0]

    def first_logprobs(self, prompts: Sequence[list[str]]) -> Floats:
        """Return the log-probabilities of the first generated token, prompts x vocabulary, in nats."""
        if not prompts:
            return np.zeros((0, self.vocabulary), np.float32)
        rows = []
        for start in range(0, len(prompts), CHUNK):
            results = self._ask(prompts[start : start + CHUNK], 1)
            rows.append(_log_softmax(np.stack([np.asarray(result.logits[0][0]) for result in results])))
        return np.concatenate(rows)

    def first_token_logprobs(self, prompts: Sequence[list[str]], top: int = 20) -> list[list[tuple[str, float]]]:
        """Return the `top` likeliest first tokens of each prompt as (text, log-probability), likeliest first."""
        chances = self.first_logprobs(prompts)
        kept = min(top, self.vocabulary)
        best = np.argpartition(-chances, kept - 1, axis=1)[:, :kept] if len(chances) else chances.astype(int)
        listed = []
        for row, ids in zip(chances, best, strict=True):
            order = ids[np.lexsort((ids, -row[ids]))]
            listed.append([(self._text_of[i], float(row[i])) for i in order])
        return listed

    def generate(self, prompts: Sequence[list[str]], sampling: Sequence[Sampling]) -> list[Generated]:
        """Generate one answer a prompt; the same seed and distribution give the same tokens in any batch."""
        walks = [
            _Walk(list(prompt), how, np.random.default_rng(how.seed))
            for prompt, how in zip(prompts, sampling, strict=True)
        ]
        open_walks = [walk for walk in walks if walk.sampling.max_tokens > 0]
        while open_walks:
            self._advance(open_walks)
            open_walks = [walk for walk in open_walks if walk.ended is None]
        return [self._finished(walk) for walk in walks]

    def _advance(self, walks: list[_Walk]) -> None:
        """Ask once for every open walk and follow each answer while the draws agree with it."""
        asked = [[*walk.prompt, *(self._token(i) for i in walk.made)] for walk in walks]
        most = max(walk.sampling.max_tokens - len(walk.made) for walk in walks)
        for walk, result in zip(walks, self._ask(asked, most), strict=True):
            greedy = result.sequences_ids[0]
            for step, logits in enumerate(result.logits[0]):
                token = draw(np.asarray(logits), walk.sampling, walk.rng)
                walk.made.append(token)
                if token == self._eos:
                    walk.ended = "stop"
                elif len(walk.made) >= walk.sampling.max_tokens:
                    walk.ended = "length"
                if walk.ended or step >= len(greedy) or token != greedy[step]:
                    break

    def _ask(self, prompts: Sequence[list[str]], most: int) -> list[Any]:
        """Continue prompts greedily, with the logits of every new step.

        Only prompts of one length share a batch: ctranslate2 reads a mixed batch up to its shortest prompt and steps
        through the rest, which is slower and puts those steps in front of the logits.
        """
        by_length: dict[int, list[int]] = {}
        for place, prompt in enumerate(prompts):
            by_length.setdefault(len(prompt), []).append(place)
        answers: list[Any] = [None] * len(prompts)
        running = [(places, self._start([prompts[i] for i in places], most)) for places in by_length.values()]
        for places, futures in running:
            for place, future in zip(places, futures, strict=True):
                answers[place] = future.result()
        return answers

    def _start(self, prompts: list[list[str]], most: int) -> list[Any]:
        """Hand equally long prompts to the workers; return one future a prompt."""
        return cast(
            list[Any],
            self._generator.generate_batch(
                prompts,
                max_batch_size=BATCH,
                max_length=most,
                sampling_topk=1,
                include_prompt_in_result=False,
                return_logits_vocab=True,
                return_end_token=True,
                end_token=EOS,
                asynchronous=True,
            ),
        )

    def _token(self, index: int) -> str:
        return cast(str, self._tokenizer.id_to_token(index))

    def _finished(self, walk: _Walk) -> Generated:
        text = self._tokenizer.decode(walk.made, skip_special_tokens=True)
        return Generated(text, walk.ended or "length", len(walk.made))


def draw(logits: NDArray[Any], sampling: Sampling, rng: np.random.Generator) -> int:
    """Draw one token id; one uniform number is used up whatever the filters, none when greedy."""
    if sampling.temperature <= 0:
        return int(np.argmax(logits))
    scaled = logits.astype(np.float64) / sampling.temperature
    order = np.argsort(-scaled, kind="stable")
    chances = np.exp(scaled[order] - scaled[order[0]])
    chances /= chances.sum()
    keep = len(order) if sampling.top_k <= 0 else min(sampling.top_k, len(order))
    if sampling.top_p < 1:
        keep = min(keep, 1 + int(np.searchsorted(np.cumsum(chances), sampling.top_p)))
    reach = np.cumsum(chances[:keep])
    return int(order[min(keep - 1, int(np.searchsorted(reach, rng.random() * reach[-1], side="right")))])


def usable_cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return cast(Floats, shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
