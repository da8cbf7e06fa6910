"""Train the embedded model: `python -m defender.engines.embedded.train --minutes 55 --out DIR`.

Needs torch, tokenizers and pyyaml (build time only). Writes `tokenizer.json`, `shape.json` and `model.pt` (averaged
weights) into DIR every few hundred steps.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from defender.engines.embedded import grammar, tokens
from defender.engines.embedded.lessons import Lesson, Plan, Teacher
from defender.engines.embedded.network import Network, Shape

SPACE = Path(__file__).resolve().parents[3] / "search_spaces" / "clauses.yaml"
LOG_EVERY, SAVE_EVERY = 100, 500


@dataclass(frozen=True)
class Weights:
    """How much each part of the loss counts."""

    odds: float = 0.1
    paired: float = 0.3
    tail: float = 0.03
    heads: float = 0.3


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Train the embedded model.")
    parser.add_argument("--minutes", type=float, default=55.0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--init", type=Path, help="a folder written by an earlier run to start from")
    parser.add_argument("--space", type=Path, default=SPACE)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--last-lr", type=float, default=0.02, help="share of --lr left at the end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed-share", type=float, default=0.1)
    parser.add_argument("--space-share", type=float, default=0.35)
    run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Train for the given time and save the averaged weights."""
    torch.set_num_threads(options.threads)
    space = grammar.Space.load(options.space)
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(options, space)
    shape = Shape(vocabulary=tokenizer.get_vocab_size())
    (options.out / "shape.json").write_text(json.dumps(shape.as_dict()), encoding="utf-8")
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        network = Network(shape)
    if options.init:
        network.load_state_dict(torch.load(options.init / "model.pt"))
    plan = Plan(rows=options.rows, seed_share=options.seed_share, space_share=options.space_share)
    teacher = Teacher(tokenizer, space, plan, random.Random(options.seed))
    _loop(options, network, teacher)


def _tokenizer(options: argparse.Namespace, space: grammar.Space) -> Tokenizer:
    known = options.init / "tokenizer.json" if options.init else None
    tokenizer = Tokenizer.from_file(str(known)) if known else tokens.build(space)
    tokenizer.save(str(options.out / "tokenizer.json"))
    return tokenizer


def _loop(options: argparse.Namespace, network: Network, teacher: Teacher) -> None:
    """Run steps until the time is over."""
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in network.parameters() if p.dim() > 1], "weight_decay": 0.02},
            {"params": [p for p in network.parameters() if p.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=options.lr,
        betas=(0.9, 0.97),
        fused=True,
    )
    compiled = torch.compile(network)
    average = copy.deepcopy(network.state_dict())
    began, step, parts_sum = time.monotonic(), 0, torch.zeros(6)
    seen = 0
    while (done := (time.monotonic() - began) / 60 / options.minutes) < 1:
        rate = options.lr * min(1.0, (step + 1) / 150)
        rate *= options.last_lr + (1 - options.last_lr) * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = rate
        lesson = teacher.lesson()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits, clause, identity = compiled(lesson.batch)
        parts = losses(lesson, logits.float(), clause.float(), identity.float())
        loss = _total(parts, Weights())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        _fold(average, network, min(0.996, (step + 1) / (step + 20)))
        step += 1
        seen += lesson.batch.ids_RT.numel()
        parts_sum += torch.stack([part.detach() for part in (loss, *parts)])
        if step % LOG_EVERY == 0:
            _log(step, time.monotonic() - began, parts_sum / LOG_EVERY, seen, rate)
            parts_sum.zero_()
        if step % SAVE_EVERY == 0:
            _save(average, options.out)
    _save(average, options.out)
    (options.out / "run.json").write_text(
        json.dumps({"minutes": options.minutes, "seed": options.seed, "steps": step, "tokens": seen}), encoding="utf-8"
    )
    sys.stdout.write(f"done {step} steps\n")


def losses(lesson: Lesson, logits: Tensor, clause: Tensor, identity: Tensor) -> tuple[Tensor, ...]:
    """Return the parts of the loss: KL, log-odds, paired log-odds, answer tail (cross-entropy), and the two heads."""
    count = len(lesson.group_D)
    chances = F.log_softmax(logits, -1)
    ours = chances[:count].gather(1, lesson.tokens_DC)
    target = lesson.target_DC
    kl = (target * (target.clamp_min(1e-9).log() - ours)).sum(1).mean()
    gap = _odds(ours[:, :3]) - _odds(target[:, :3].clamp(1e-5, 1 - 1e-5).log())
    gap = gap * lesson.odds_D3
    odds = F.huber_loss(gap, torch.zeros_like(gap), reduction="sum") / count
    groups = int(lesson.group_D.max()) + 1
    size = torch.zeros(groups).index_add(0, lesson.group_D, torch.ones(count))
    mean = torch.zeros(groups, 3).index_add(0, lesson.group_D, gap) / size[:, None]
    centred = gap - mean[lesson.group_D]
    paired = F.huber_loss(centred, torch.zeros_like(centred), reduction="sum") * 2 / count
    tail = F.nll_loss(chances[count:], lesson.tail_tokens) if len(lesson.tail_tokens) else logits.new_zeros(())
    heads = F.huber_loss(clause, lesson.clause_values) + F.huber_loss(identity, lesson.identity_values)
    return kl, odds, paired, tail, heads


def _total(parts: tuple[Tensor, ...], weights: Weights) -> Tensor:
    kl, odds, paired, tail, heads = parts
    return kl + weights.odds * odds + weights.paired * paired + weights.tail * tail + weights.heads * heads


def _odds(log_share: Tensor) -> Tensor:
    """Return log-odds from log-probabilities, safe at both ends."""
    kept = log_share.clamp(-12.0, -1e-4)
    return kept - torch.log1p(-kept.exp())


def _fold(average: dict[str, Tensor], network: Network, keep: float) -> None:
    with torch.no_grad():
        for name, value in network.state_dict().items():
            average[name].lerp_(value, 1 - keep)


def _save(average: dict[str, Tensor], into: Path) -> None:
    partial = into / "model.pt.partial"
    torch.save(average, partial)
    partial.replace(into / "model.pt")


def _log(step: int, seconds: float, parts: Tensor, seen: int, rate: float) -> None:
    names = ("loss", "kl", "odds", "paired", "tail", "heads")
    said = " ".join(f"{name} {value:.4f}" for name, value in zip(names, parts.tolist(), strict=True))
    sys.stdout.write(f"{step} {seconds:.0f}s {said} tok/s {seen / seconds:.0f} lr {rate:.5f}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
