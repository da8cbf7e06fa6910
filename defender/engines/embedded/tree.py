"""Packing for tree attention: branches that share a prefix share its tokens.

A row is a forest of nodes. A token sees the earlier tokens of its own node and of the node's ancestors; its position
is its depth along that path, so every path reads exactly like a plain sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

ROUND_TO = 32


@dataclass
class Row:
    """A growing forest of token nodes packed into one row."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    node_of: list[int] = field(default_factory=list)
    ancestors: list[set[int]] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)

    def add(self, tokens: Sequence[int], parent: int | None = None) -> tuple[int, int]:
        """Append a node; return its number and the row offset of its first token."""
        node, start = len(self.ancestors), len(self.ids)
        above = set() if parent is None else self.ancestors[parent]
        from_depth = 0 if parent is None else self.depth[parent]
        self.ancestors.append(above | {node})
        self.depth.append(from_depth + len(tokens))
        self.ids.extend(tokens)
        self.positions.extend(range(from_depth, from_depth + len(tokens)))
        self.node_of.extend([node] * len(tokens))
        return node, start


@dataclass(frozen=True)
class Packed:
    """Rows as arrays, R rows x T tokens; padding sees only itself."""

    ids_RT: NDArray[np.int64]
    positions_RT: NDArray[np.int64]
    mask_RTT: NDArray[np.bool_]


def pack(rows: Sequence[Row], at_least: int = 0) -> Packed:
    """Pad rows to a common length (a multiple of 32, `at_least` so many) and build the attention mask."""
    longest = max(at_least, -(-max(len(row.ids) for row in rows) // ROUND_TO) * ROUND_TO)
    ids = np.zeros((len(rows), longest), np.int64)
    positions = np.zeros((len(rows), longest), np.int64)
    mask = np.zeros((len(rows), longest, longest), bool)
    causal = np.tri(longest, dtype=bool)
    for index, row in enumerate(rows):
        length, nodes = len(row.ids), len(row.ancestors)
        ids[index, :length], positions[index, :length] = row.ids, row.positions
        sees = np.zeros((nodes, nodes), bool)
        for node, above in enumerate(row.ancestors):
            sees[node, list(above)] = True
        node_of = np.array(row.node_of)
        mask[index, :length, :length] = sees[node_of[:, None], node_of[None]] & causal[:length, :length]
    mask |= np.eye(longest, dtype=bool)
    return Packed(ids, positions, mask)
