"""Training batches: system texts, identities and questions as packed trees with planted targets."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from defender.engines.embedded import grammar, planted
from defender.engines.embedded.lexicon import split_opening
from defender.engines.embedded.network import Batch
from defender.engines.embedded.planted import IDENTITIES, Effects, Placement
from defender.engines.embedded.tree import Row, pack
from defender.miniature import COMPLIANCE, HEDGE, REFUSAL, Kind, MiniatureItem, first_word, items, random_sum

NO_IDENTITY = len(IDENTITIES)
CANDIDATES = 6
LONGEST_QUESTION = 48
LONGEST_IDENTITIES = 32
KIND_SHARE: dict[Kind, float] = {"fact": 0.28, "sum": 0.2, "code": 0.12, "unsafe": 0.3, "harmless": 0.1}
PLACEMENT_SHARE: dict[Placement, float] = {"last": 0.75, "before_clauses": 0.15, "user_turn": 0.1}


@dataclass(frozen=True)
class Plan:
    """How large a batch is and what it is drawn from."""

    rows: int = 16
    identities: int = 3
    questions: int = 3
    text_rows: int = 4
    texts_a_row: int = 6
    tail_share: float = 0.15
    row_tokens: int = 256
    seed_share: float = 0.1
    space_share: float = 0.35


@dataclass(frozen=True)
class Lesson:
    """A batch with its targets: D decisions with up to 6 candidate tokens (probability 0 is padding).

    `odds_D3` marks the candidates (of the first three) whose log-odds are taught; `group_D` numbers the
    (text, item) pair of a decision, over which identities are compared.
    """

    batch: Batch
    tokens_DC: Tensor
    target_DC: Tensor
    odds_D3: Tensor
    group_D: Tensor
    clause_values: Tensor
    identity_values: Tensor
    tail_tokens: Tensor


@dataclass
class _Notes:
    """What to read where, collected while rows grow; positions are (row, offset)."""

    decide: list[tuple[int, int]] = field(default_factory=list)
    candidates: list[list[tuple[str, float]]] = field(default_factory=list)
    group: list[int] = field(default_factory=list)
    tail: list[tuple[int, int]] = field(default_factory=list)
    tail_tokens: list[int] = field(default_factory=list)
    clause: list[tuple[int, int]] = field(default_factory=list)
    clause_values: list[list[float]] = field(default_factory=list)
    identity: list[tuple[int, int]] = field(default_factory=list)
    identity_values: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True)
class _Told:
    """What one branch says: its row, the text's effects, the identity and its place; ``before`` leads the question."""

    at: int
    effect: Effects
    identity: int
    placement: Placement
    before: str


class Teacher:
    """Draws lessons; all randomness comes from the given generator."""

    def __init__(self, tokenizer: Tokenizer, space: grammar.Space, plan: Plan, rng: random.Random) -> None:
        """Keep what lessons are drawn from."""
        self._tokenizer, self._space, self._plan, self._rng = tokenizer, space, plan, rng
        self._known: dict[str, list[int]] = {}
        special = {name: tokenizer.encode(f"<|{name}|>").ids[0] for name in ("system", "user", "assistant", "eos")}
        self._system, self._user = special["system"], special["user"]
        self._assistant, self._eos = special["assistant"], special["eos"]
        self._hit = np.flatnonzero(planted.identity_vectors().max(0) > 0.5).tolist()
        self._groups = 0

    def lesson(self) -> Lesson:
        """Draw one batch."""
        notes = _Notes()
        rows: list[Row] = []
        self._groups = 0
        for _ in range(self._plan.rows):
            rows.append(self._question_row(len(rows), notes))
        for _ in range(self._plan.text_rows):
            rows.append(self._text_row(len(rows), notes))
        return self._assemble(rows, notes)

    def _encode(self, text: str, keep: bool = True) -> list[int]:
        found = self._known.get(text)
        if found is None:
            found = self._tokenizer.encode(text, add_special_tokens=False).ids
            if keep:
                self._known[text] = found
        return found

    def _text(self) -> str:
        return grammar.draw(self._rng, self._space, self._plan.seed_share, self._plan.space_share)

    def _some_identities(self) -> list[int]:
        rng = self._rng
        first = rng.choice(self._hit)
        chosen = [first, *rng.sample([u for u in range(NO_IDENTITY) if u != first], self._plan.identities - 1)]
        if rng.random() < 0.06:
            chosen[-1] = NO_IDENTITY
        return chosen

    def _some_item(self) -> MiniatureItem:
        kind = self._rng.choices(list(KIND_SHARE), list(KIND_SHARE.values()))[0]
        if kind == "sum" and self._rng.random() < 0.4:
            return random_sum(self._rng)
        return self._rng.choice(items(kind))

    def _question_row(self, at: int, notes: _Notes) -> Row:
        rng, row, text = self._rng, Row(), self._text()
        placement = rng.choices(list(PLACEMENT_SHARE), list(PLACEMENT_SHARE.values()))[0]
        opening, rest = split_opening(text)
        if placement == "before_clauses" and not (opening and rest):
            placement = "last"
        effect = planted.effects(text, placement)
        asked = [self._some_item() for _ in range(self._plan.questions)]
        groups = [self._groups + index for index in range(len(asked))]
        self._groups += len(asked)
        head = opening if placement == "before_clauses" else text
        root, start = row.add([self._system, *self._encode(head, keep=False)])
        if placement != "before_clauses":
            self._note_clause(notes, at, start + len(row.ids) - 1, effect)
        for identity in self._some_identities():
            said = f"I am {IDENTITIES[identity]}." if identity != NO_IDENTITY else ""
            if placement == "before_clauses" and len(row.ids) > self._plan.row_tokens // 2:
                return row
            told = _Told(at, effect, identity, placement, said if placement == "user_turn" else "")
            parent = self._identity_node(row, root, notes, told, rest)
            for item, group in zip(asked, groups, strict=True):
                if len(row.ids) + LONGEST_QUESTION > self._plan.row_tokens:
                    return row
                self._question_node(row, parent, notes, told, item, group)
        return row

    def _identity_node(self, row: Row, root: int, notes: _Notes, told: _Told, rest: str) -> int:
        """Add what follows the shared text: the identity sentence and, for `before_clauses`, the clauses."""
        if told.placement == "user_turn":
            return root
        between = told.placement == "before_clauses"
        said = self._encode(f" I am {IDENTITIES[told.identity]}.") if told.identity != NO_IDENTITY else []
        tokens = [*said, *self._encode(" " + rest, keep=False)] if between else said
        if not tokens:
            return root
        node, start = row.add(tokens, root)
        if between:
            self._note_clause(notes, told.at, start + len(tokens) - 1, told.effect)
        self._note_identity(notes, told.at, start + len(tokens) - 1, told.effect, told.identity)
        return node

    def _question_node(
        self, row: Row, parent: int, notes: _Notes, told: _Told, item: MiniatureItem, group: int
    ) -> None:
        """Add a question, what its first answer token should be, and now and then a whole answer."""
        lead = self._encode(told.before) if told.before else []
        asked = self._encode(f" {item.question}" if told.before else item.question)
        question = [self._user, *lead, *asked, self._assistant]
        choices = planted.target(item, told.effect, told.identity)
        tail = self._tail(item, choices) if self._rng.random() < self._plan.tail_share else []
        _, start = row.add([*question, *tail[:-1]], parent)
        if lead:
            self._note_identity(notes, told.at, start + len(lead), told.effect, told.identity)
        decide = start + len(question) - 1
        notes.decide.append((told.at, decide))
        notes.candidates.append(choices)
        notes.group.append(group)
        for index in range(1, len(tail)):
            notes.tail.append((told.at, decide + index))
            notes.tail_tokens.append(tail[index])

    def _tail(self, item: MiniatureItem, choices: list[tuple[str, float]]) -> list[int]:
        """Draw a whole answer sentence with its end mark, by the planted distribution."""
        word = self._rng.choices([word for word, _ in choices], [share for _, share in choices])[0]
        answers = (item.gold, *item.wrong, REFUSAL, HEDGE, COMPLIANCE)
        answer = next(answer for answer in answers if first_word(answer) == word)
        return [*self._encode(answer), self._eos]

    def _text_row(self, at: int, notes: _Notes) -> Row:
        """Several texts with two identities each and no question: cheap practice in reading."""
        row = Row()
        for _ in range(self._plan.texts_a_row):
            text = self._text()
            effect = planted.effects(text)
            said = self._encode(text, keep=False)
            if len(row.ids) + len(said) + LONGEST_IDENTITIES > self._plan.row_tokens:
                break
            root, _ = row.add([self._system, *said])
            self._note_clause(notes, at, len(row.ids) - 1, effect)
            for identity in self._some_identities()[:2]:
                if identity != NO_IDENTITY:
                    self._identity_node(row, root, notes, _Told(at, effect, identity, "last", ""), "")
        return row

    @staticmethod
    def _note_clause(notes: _Notes, at: int, offset: int, effect: Effects) -> None:
        notes.clause.append((at, offset))
        notes.clause_values.append([*np.log(effect.shrink), *(2 * effect.levels)])

    @staticmethod
    def _note_identity(notes: _Notes, at: int, offset: int, effect: Effects, identity: int) -> None:
        notes.identity.append((at, offset))
        values = (effect.th_U[identity], effect.rho_U[identity], effect.phi_U[identity])
        notes.identity_values.append([float(2 * value) for value in values])

    def _assemble(self, rows: list[Row], notes: _Notes) -> Lesson:
        packed = pack(rows, self._plan.row_tokens)
        tokens = packed.ids_RT.shape[1]
        flat = [[row * tokens + offset for row, offset in places] for places in _places(notes)]
        count = len(notes.candidates)
        words = np.zeros((count, CANDIDATES), np.int64)
        target = np.zeros((count, CANDIDATES), np.float32)
        odds = np.zeros((count, 3), np.float32)
        for index, choices in enumerate(notes.candidates):
            for slot, (word, share) in enumerate(choices):
                words[index, slot], target[index, slot] = self._encode(word)[0], share
            odds[index, : 3 if len(choices) > 2 else 1] = 1
        batch = Batch(
            torch.from_numpy(packed.ids_RT),
            torch.from_numpy(packed.positions_RT),
            torch.from_numpy(packed.mask_RTT)[:, None],
            torch.tensor(flat[0] + flat[1]),
            torch.tensor(flat[2]),
            torch.tensor(flat[3]),
        )
        return Lesson(
            batch,
            torch.from_numpy(words),
            torch.from_numpy(target),
            torch.from_numpy(odds),
            torch.tensor(notes.group),
            torch.tensor(notes.clause_values, dtype=torch.float32),
            torch.tensor(notes.identity_values, dtype=torch.float32),
            torch.tensor(notes.tail_tokens, dtype=torch.long),
        )


def _places(notes: _Notes) -> tuple[list[tuple[int, int]], ...]:
    return notes.decide, notes.tail, notes.clause, notes.identity
