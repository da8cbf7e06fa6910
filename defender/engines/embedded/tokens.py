"""Build the tokenizer of the embedded model: byte-level BPE in which every decisive answer word is one token."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from defender.engines.embedded import grammar
from defender.engines.embedded.lexicon import LEXICON, NEGATORS
from defender.engines.embedded.planted import IDENTITIES
from defender.miniature import COMPLIANCE, HEDGE, KINDS, REFUSAL, MiniatureItem, first_word, items, random_sum

SPECIAL = ("<|pad|>", "<|bos|>", "<|eos|>", "<|system|>", "<|user|>", "<|assistant|>")
VOCABULARY = 2560
LARGEST_NUMBER = 100


def build(space: grammar.Space, seed: int = 3) -> Tokenizer:
    """Train the tokenizer on drawn system texts, identities and the item pools.

    Raises:
        ValueError: A decisive answer word did not become one token.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(random.Random(seed), space), trainer)
    split = [word for word in decisive_words() if len(tokenizer.encode(word).ids) != 1]
    if split:
        raise ValueError(f"expected every decisive answer word to be one token, these are not: {split}")
    return tokenizer


def decisive_words() -> list[str]:
    """Return every word an answer can begin with."""
    words = {first_word(answer) for item in _all_items() for answer in (item.gold, *item.wrong)}
    words |= {first_word(answer) for answer in (REFUSAL, COMPLIANCE, HEDGE)}
    return sorted(words | {str(number) for number in range(LARGEST_NUMBER)})


def _all_items() -> list[MiniatureItem]:
    return [item for kind in KINDS for item in items(kind)]


def _corpus(rng: random.Random, space: grammar.Space) -> Iterator[str]:
    for _ in range(12000):
        yield f"{grammar.draw(rng, space)} I am {rng.choice(IDENTITIES)}."
    for identity in IDENTITIES:
        yield from [f" I am {identity}."] * 60
    for word in grammar.tables()["filler"]:
        yield from [" " + word] * 3
    for word in [word for words in (*LEXICON.values(), tuple(NEGATORS)) for word in words]:
        yield from [" " + word, word.capitalize()] * 40
    pool = _all_items() * 2 + [random_sum(rng) for _ in range(6000)]
    for item in pool:
        yield from [item.question, item.gold, *item.wrong]
    for word in decisive_words():
        yield from [word] * 300
    for number in range(LARGEST_NUMBER):
        yield from [f" {number}"] * 60
