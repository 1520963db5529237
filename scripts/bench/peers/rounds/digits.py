"""8x8 digits from the IDX files of a folder given at run time: 64 inputs, 10 classes, an iid part per client."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TRAIN_ROWS = 1400
Rows = tuple[NDArray[np.float32], NDArray[np.int64]]


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Unsigned bytes of a gzipped IDX file, in its shape."""
    data = gzip.decompress(path.read_bytes())
    axes = data[3]
    shape = np.frombuffer(data, dtype=">u4", count=axes, offset=4)
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape.astype(int))


@lru_cache(maxsize=1)
def load(folder: str) -> tuple[Rows, Rows]:
    """Training rows (the first 1400) and test rows, x in [0, 1] as [rows, 64]."""
    images, labels, test = (read_idx(Path(folder) / f"optdigits-{part}-ubyte.gz")
                            for part in ("images-idx3", "labels-idx1", "test-idx1"))
    small = images.reshape(-1, 8, 2, 8, 2).mean(axis=(2, 4), dtype=np.float32).reshape(-1, 64) / np.float32(255)
    y = labels.astype(np.int64)
    training = np.flatnonzero(test == 0)[:TRAIN_ROWS]
    held_out = np.flatnonzero(test == 1)
    return (small[training], y[training]), (small[held_out], y[held_out])


def part(folder: str, client: int, clients: int) -> Rows:
    """The client's training rows: every clients-th row of one fixed shuffle."""
    (x, y), _ = load(folder)
    rows = np.random.default_rng(1).permutation(len(x))[client::clients]
    return x[rows], y[rows]
