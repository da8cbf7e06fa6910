"""The embedded model as a torch module, for training only: a small Llama with auxiliary heads.

The heads regress the planted shrink factors and levels at the end of the defense text, and the planted per-identity
effects at the end of the identity sentence. They read middle layers, so that later tokens can use what they taught
the network to compute. Export drops them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLAUSE_VALUES = 6
IDENTITY_VALUES = 3


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; `as_dict` and `Shape(**d)` are inverse."""

    vocabulary: int = 2560
    width: int = 192
    layers: int = 4
    heads: int = 6
    inner: int = 512
    positions: int = 1024
    rope_base: float = 10000.0

    def as_dict(self) -> dict[str, float]:
        """Return the sizes as a plain dict."""
        return asdict(self)


@dataclass(frozen=True)
class Batch:
    """One packed batch: R rows x T tokens, and where in the flat R*T to read what."""

    ids_RT: Tensor
    positions_RT: Tensor
    mask_R1TT: Tensor
    decide_at: Tensor
    clause_at: Tensor
    identity_at: Tensor


class Norm(nn.Module):  # type: ignore[misc]
    """Root-mean-square norm with a learned scale."""

    def __init__(self, width: int) -> None:
        """Start with scale one."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-6)


class Block(nn.Module):  # type: ignore[misc]
    """Attention and gated feed-forward, pre-norm, as in Llama."""

    def __init__(self, shape: Shape) -> None:
        """Create the four projections."""
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.norm_in, self.norm_mid = Norm(width), Norm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gate_up = nn.Linear(width, 2 * shape.inner, bias=False)
        self.down = nn.Linear(shape.inner, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """Apply the block to rows x tokens x width."""
        rows, tokens, width = x.shape
        split = self.qkv(self.norm_in(x)).view(rows, tokens, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(seen.transpose(1, 2).reshape(rows, tokens, width))
        gate, up = self.gate_up(self.norm_mid(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Network(nn.Module):  # type: ignore[misc]
    """The whole model; `forward` returns logits and the two auxiliary predictions."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        """Create and initialise all weights from torch's current generator."""
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width)
        self.clause_head = nn.Linear(shape.width, CLAUSE_VALUES)
        self.identity_head = nn.Linear(shape.width, IDENTITY_VALUES)
        head = shape.width // shape.heads
        turns = 1 / (shape.rope_base ** (torch.arange(0, head, 2) / head))
        angles = torch.arange(shape.positions)[:, None] * turns[None]
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                last = "out." in name or "down." in name
                nn.init.normal_(weight, 0, 0.02 / math.sqrt(2 * shape.layers) if last else 0.02)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits at `decide_at`, clause values at `clause_at`, identity values at `identity_at`."""
        x = self.embedding(batch.ids_RT)
        cos, sin = self.cos[batch.positions_RT][:, None], self.sin[batch.positions_RT][:, None]
        states = []
        for block in self.blocks:
            x = block(x, cos, sin, batch.mask_R1TT)
            states.append(x)
        clause = _pick(states[len(states) // 2 - 1], batch.clause_at)
        identity = _pick(states[-2], batch.identity_at)
        final = self.norm(x.reshape(-1, x.shape[-1]).float()[batch.decide_at])
        with torch.autocast("cpu", enabled=False):
            logits = final @ self.embedding.weight.t()
            return logits, self.clause_head(clause), self.identity_head(identity)


def _pick(state: Tensor, at: Tensor) -> Tensor:
    picked = state.reshape(-1, state.shape[-1]).float()[at]
    return F.rms_norm(picked, (picked.shape[-1],), None, 1e-6)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)
