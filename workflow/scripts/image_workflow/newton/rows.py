"""Pass over the rows of X in blocks that fit a cache, in a fixed order, with several threads.

    all rows   | slab 0                        | slab 1                        | ...  at most 16
    a slab     | piece | piece | piece | piece |      one thread processes a slab
    a piece    | block | block |                      has a few numbers for each row and class
    a block    | tile | tile | tile |                 is converted to floating point at once
    a tile                                            is multiplied at once

None of these sizes depends on the computer, because they decide the last bits of a sum.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sizes:
    """The numbers of rows and values that are processed at once.

    Attributes
    ----------
    block_bytes : int
        The bytes of a block after the conversion to floating point. It has to fit a core's cache.
    block_rows : int
        The fewest rows of a block, however many columns there are.
    tile_products : int
        The most products (rows x columns x classes) of a tile. OpenBLAS multiplies matrices of at
        most this size without copying them first.
    piece_rows : int
        The most rows of a piece.
    slabs : int
        The most slabs, and therefore the most threads that are used.
    group : int
        The most classes that are fitted together.
    sampled_rows : int
        The fewest rows to sample for a Hessian, if there are so many rows.
    sampled_values : int
        The most values in the sampled rows, unless `sampled_rows` have more. The limit is eight
        times as high if there are more sampled rows than columns.
    """

    block_bytes: int = 1_600_000
    block_rows: int = 64
    tile_products: int = 1_000_000
    piece_rows: int = 4096
    slabs: int = 16
    group: int = 16
    sampled_rows: int = 1000
    sampled_values: int = 2**24


class Rows:
    """The rows of X, each followed by a constant 1, in one precision.

    Parameters
    ----------
    X : ndarray of shape (n, d - 1)
    n_classes : int
    dtype : float32 or float64
    pool : Executor
        Its threads process the slabs.
    sizes : Sizes
    """

    def __init__(self, X, n_classes: int, dtype, pool: Executor, sizes: Sizes):
        self.X, self.dtype, self.pool = X, np.dtype(dtype), pool
        self.n, self.d = X.shape[0], X.shape[1] + 1
        self.thread = threading.local()
        rows = max(sizes.block_rows, sizes.block_bytes // (self.dtype.itemsize * self.d))
        rows = min(rows, sizes.piece_rows)
        tile = sizes.tile_products // (self.d * n_classes) // 8 * 8
        self.tile = tile if sizes.block_rows <= tile <= rows else rows
        self.block = rows // self.tile * self.tile
        blocks = -(-self.n // (sizes.slabs * self.block))
        pieces = -(-blocks // (sizes.piece_rows // self.block))
        self.piece = -(-blocks // pieces) * self.block
        self.slab = pieces * self.piece

    def blocks(self, piece: slice) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield each block of a piece: the slice of its rows, and their values (tiles, rows, d).

        The next block overwrites the values.
        """
        if not hasattr(self.thread, "block"):
            self.thread.block = np.ones((min(self.block, self.n), self.d), self.dtype)
        for first in range(piece.start, piece.stop, self.block):
            last = min(first + self.block, piece.stop)
            block = self.thread.block[: last - first]
            block[:, :-1] = self.X[first:last]
            tile = self.tile if len(block) % self.tile == 0 else len(block)
            yield slice(first, last), block.reshape(-1, tile, self.d)

    def sum_pieces(self, visit: Callable[[slice], np.ndarray]) -> np.ndarray:
        """Return the sum of ``visit(piece)`` over all pieces, always in the same order."""

        def visit_slab(first):
            total, last = 0, min(first + self.slab, self.n)
            for at in range(first, last, self.piece):
                total = total + np.asarray(visit(slice(at, min(at + self.piece, last))), float)
            return total

        return sum(self.pool.map(visit_slab, range(0, self.n, self.slab)))

    def sum_blocks(self, visit: Callable[[slice, np.ndarray], np.ndarray]) -> np.ndarray:
        """Return the sum of ``visit(rows, tiles)`` over all blocks, always in the same order."""
        return self.sum_pieces(
            lambda piece: sum(visit(rows, tiles) for rows, tiles in self.blocks(piece))
        )

    def weighted_sum(self, weights: np.ndarray, piece: slice, power: int = 1) -> np.ndarray:
        """Return a piece's rows to a power, summed with each class's weights (k, rows): (k, d)."""
        total = 0
        for rows, tiles in self.blocks(piece):
            here = weights[:, rows.start - piece.start : rows.stop - piece.start]
            total = total + sum_rows(here, tiles if power == 1 else tiles**power)
        return total


def dot_rows(V: np.ndarray, tiles: np.ndarray) -> np.ndarray:
    """Return the product of each class's V (k, d) with each row of a block: (k, rows)."""
    return (tiles @ V.T).reshape(-1, len(V)).T


def sum_rows(weights: np.ndarray, tiles: np.ndarray) -> np.ndarray:
    """Return a block's rows, summed with each class's weights (k, rows): (k, d)."""
    weights = weights.reshape(len(weights), len(tiles), -1).transpose(1, 0, 2)
    return (weights @ tiles).sum(axis=0)
