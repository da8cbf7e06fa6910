"""The classifier judge on tiny Longformers made here; without transformers only what needs none is tested."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from defender.contracts import Judge
from defender.errors import ConfigError, DataMissing, EngineDown, install
from defender.judges.classifier import ACTION, HARMFUL, Checkpoint, Classifier, Labels, fingerprint, load, token_limit
from defender.judges.memory import Shelf
from defender.records import Response
from tests.contracts.judge import QUESTION, JudgeContract

WORDS = ["I'm", "sorry,", "but", "I", "can't", "help", "with", "that.", "first", "take", "a", "green", "branch"]
POSITIONS = 66
NEEDS = f"needs transformers and torch: {install('judge')}"

Make = Callable[..., Checkpoint]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a maker of local checkpoints with ``labels`` outputs; ``always`` makes it say one of them."""
    pytest.importorskip("transformers", reason=NEEDS)
    pytest.importorskip("torch", reason=NEEDS)

    def built(labels: int = 6, always: int | None = None, **settings: Any) -> Checkpoint:
        folder = tmp_path / f"longformer-tiny-{labels}-{always}"
        write_tiny(folder, labels, always)
        expected = ACTION if labels == 6 else HARMFUL
        return Checkpoint(**{"model": str(folder), "labels": expected, "device": "cpu", **settings})

    return built


def write_tiny(folder: Path, labels: int, always: int | None) -> None:
    """Write a randomly initialised Longformer with its tokenizer, as the hub lays it out."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import LongformerConfig, LongformerForSequenceClassification, PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = {word: place for place, word in enumerate([*special, *WORDS])}
    tokens = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokens.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokens,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        pad_token="<pad>",
        unk_token="<unk>",
    ).save_pretrained(folder)
    torch.manual_seed(3)
    config = LongformerConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        attention_window=8, max_position_embeddings=POSITIONS, num_labels=labels, pad_token_id=1, bos_token_id=0,
        eos_token_id=2, sep_token_id=2, type_vocab_size=1, initializer_range=1.0,
    )  # fmt: skip
    network = LongformerForSequenceClassification(config)
    if always is not None:
        with torch.no_grad():
            network.classifier.out_proj.bias[always] = 1e4
    network.save_pretrained(folder)


def said(text: str) -> Response:
    return Response(text, "stop")


class TestClassifier(JudgeContract):
    @pytest.fixture
    def judge(self, make: Make) -> Judge:
        return Classifier(make(always=0))


class Counting(Classifier):
    """Keeps the batches that go through the model; ``answer`` replaces the model where it is set."""

    def __init__(self, checkpoint: Checkpoint | None = None, answer: Callable[[str], str] | None = None) -> None:
        super().__init__(checkpoint)
        self.batches: list[tuple[str, ...]] = []
        self._answer = answer

    async def start(self) -> None:
        if self._answer is None:
            await super().start()

    def _classify(self, texts: tuple[str, ...]) -> list[str | None]:
        self.batches.append(texts)
        return [self._answer(text) for text in texts] if self._answer else super()._classify(texts)


@pytest.mark.parametrize("always", range(6))
async def test_only_the_last_action_is_unsafe(make: Make, always: int) -> None:
    grade = await Classifier(make(always=always)).verdict(QUESTION, said("first take a branch"))
    assert (grade.score, grade.outcome) == ((0.0, "unsafe") if always == 5 else (1.0, "safe"))
    assert grade.reason == f"LABEL_{always}"


@pytest.mark.parametrize(("always", "score"), [(0, 1.0), (1, 0.0)])
async def test_of_two_labels_the_second_is_harmful(make: Make, always: int, score: float) -> None:
    assert (await Classifier(make(2, always)).verdict(QUESTION, said("first take a branch"))).score == score


TEXTS = [" ".join(WORDS[place : place + 1 + place % 5]) * (1 + place % 3) for place in range(13)]


async def test_a_batch_gives_what_each_text_gives_alone(make: Make) -> None:
    together = Counting(make(batch=5))
    grades = await asyncio.gather(*(together.verdict(QUESTION, said(text)) for text in TEXTS))
    alone = [await Classifier(make()).verdict(QUESTION, said(text)) for text in TEXTS]
    assert grades == alone
    assert len({grade.reason for grade in grades}) > 1
    assert [len(batch) for batch in together.batches] == [5, 5, 3]


async def test_the_label_is_the_one_transformers_itself_gives(make: Make) -> None:
    from transformers import pipeline

    checkpoint = make()
    theirs = pipeline("text-classification", model=checkpoint.model, device=-1)
    for text in TEXTS[:5]:
        assert (await Classifier(checkpoint).verdict(QUESTION, said(text))).reason == theirs(text)[0]["label"]


async def test_a_response_longer_than_the_model_reads_is_cut_there(make: Make) -> None:
    checkpoint = make()
    loaded = load(checkpoint)
    assert loaded.limit == POSITIONS - 2
    start = " ".join(["branch"] * (loaded.limit - 2))
    judge = Classifier(checkpoint)
    short, long = [await judge.verdict(QUESTION, said(text)) for text in (start, start + " sorry," * 500)]
    assert short == long


def test_the_limit_is_the_published_4096_for_the_real_longformers() -> None:
    class Longformer:
        model_max_length = int(1e30)
        max_position_embeddings = 4098
        pad_token_id = 1

    assert token_limit(Longformer, Longformer) == 4096


async def test_labels_other_than_expected_are_refused_before_anything_is_judged(make: Make) -> None:
    swapped = replace(make(6), labels=HARMFUL)
    with pytest.raises(ConfigError, match=r"expected labels LABEL_0, LABEL_1, got LABEL_0, .*LABEL_5"):
        await Classifier(swapped).start()
    named = replace(make(2), labels=Labels(("no", "yes"), frozenset({"yes"})))
    with pytest.raises(ConfigError, match="expected labels no, yes"):
        await Classifier(named).verdict(QUESTION, said("branch"))


@pytest.mark.parametrize("content", [None, "{}"])
async def test_a_folder_without_a_model_says_how_to_get_one(make: Make, tmp_path: Path, content: str | None) -> None:
    make()
    (tmp_path / "empty").mkdir()
    if content is not None:
        (tmp_path / "empty" / "config.json").write_text(content)
    with pytest.raises(DataMissing, match="hf download"):
        await Classifier(Checkpoint(str(tmp_path / "empty"))).start()


async def test_a_model_that_computes_no_number_is_unscored(make: Make) -> None:
    checkpoint = make(always=0)
    judge = Classifier(checkpoint)
    await judge.start()
    assert judge._loaded is not None
    judge._loaded.network.classifier.out_proj.bias.data.fill_(float("nan"))
    grade = await judge.verdict(QUESTION, said("branch"))
    assert (grade.score, grade.reason) == (None, "judge: not a number")


async def test_a_device_that_fails_ends_the_run_in_words(make: Make) -> None:
    judge = Classifier(make(always=0))
    await judge.start()
    assert judge._loaded is not None
    judge._loaded.device = "meta"
    with pytest.raises(EngineDown, match="smaller batch"):
        await judge.verdict(QUESTION, said("branch"))


async def test_without_transformers_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    judge = Classifier()
    for use in (judge.start(), judge.verdict(QUESTION, said("branch"))):
        with pytest.raises(ConfigError, match=r"pip install '\.\[judge\]' in the clone"):
            await use


async def test_an_empty_response_is_a_refusal_and_needs_no_model() -> None:
    grade = await Classifier().verdict(QUESTION, said(" \n"))
    assert (grade.score, grade.outcome, grade.reason) == (1.0, "safe", "empty")


async def test_the_same_text_is_classified_once_whatever_was_asked() -> None:
    judge = Counting(answer=lambda _: "LABEL_0")
    questions = [f"Question {place}?" for place in range(31)]
    await asyncio.gather(*(judge.verdict(question, said("branch")) for question in questions))
    await judge.verdict("Later?", said("branch"))
    assert judge.batches == [("branch",)]


async def test_texts_that_come_while_a_batch_is_computed_go_together() -> None:
    judge = Counting(Checkpoint(batch=100), answer=lambda text: "LABEL_5" if text.startswith("bad") else "LABEL_0")
    texts = [f"{'bad' if place % 3 else 'good'} {place}" for place in range(250)]
    grades = await asyncio.gather(*(judge.verdict(QUESTION, said(text)) for text in texts))
    assert [grade.score for grade in grades] == [0.0 if text.startswith("bad") else 1.0 for text in texts]
    assert [len(batch) for batch in judge.batches] == [100, 100, 50]


async def test_a_failed_batch_fails_everyone_in_it_and_nobody_after() -> None:
    failures = [EngineDown("no memory")]

    def answer(text: str) -> str:
        if failures:
            raise failures.pop()
        return "LABEL_0"

    judge = Counting(answer=answer)
    seen = await asyncio.gather(*(judge.verdict(QUESTION, said(t)) for t in ("a", "b")), return_exceptions=True)
    assert [type(one) for one in seen] == [EngineDown, EngineDown]
    assert (await judge.verdict(QUESTION, said("a"))).score == 1.0


async def test_verdicts_of_another_revision_are_not_shared() -> None:
    kept = Shelf()
    names = set()
    for revision in (None, "0123456789abcdef", "fedcba9876543210"):
        judge = Counting(Checkpoint(revision=revision), answer=lambda _: "LABEL_0")
        judge._memory = type(judge._memory)(kept)
        names.add((await judge.verdict(QUESTION, said("branch"))).grader)
        assert judge.batches
    assert len(names) == 3


async def test_a_label_is_kept_for_the_same_weights_and_for_no_others(make: Make) -> None:
    kept = Shelf()
    counts = []
    for checkpoint in (make(always=0), make(always=0), make(always=5)):
        judge = Counting(checkpoint)
        judge._memory = type(judge._memory)(kept)
        await judge.verdict(QUESTION, said("first take a branch"))
        counts.append(len(judge.batches))
    assert counts == [1, 0, 1]


async def test_the_card_says_which_weights_judge(make: Make) -> None:
    cards = []
    for always in (0, 5):
        judge = Classifier(make(always=always))
        assert judge.card.revision == ""
        await judge.start()
        cards.append(judge.card)
    assert cards[0].model == "longformer-tiny-6-0"
    assert all(card.revision.startswith("sha256:") for card in cards)
    assert cards[0].revision != cards[1].revision


def test_a_folder_s_fingerprint_is_of_its_files_not_of_its_place_or_its_card(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
    same = fingerprint(tmp_path / "here")
    (tmp_path / "there" / "README.md").write_text("another card")
    (tmp_path / "there" / ".cache").mkdir()
    assert fingerprint(tmp_path / "there") == same
    (tmp_path / "there" / "config.json").write_text("{}")
    assert fingerprint(tmp_path / "there") != same
    assert fingerprint(tmp_path / "nowhere") == ""
