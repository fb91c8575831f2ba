"""Damages checkpoints at random, and makes sure that reading them ends in their variables or in a named fault."""

import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from lit_adv.tf_checkpoint import read_npy_layers, read_tf_checkpoint
from tests.mutations import mutate
from tests.tf_checkpoint.tiny import LAYERS, SMALL, TENSORS, assert_same
from tests.tf_checkpoint.write import write_npy, write_v1, write_v2

ANY_FILE = 2**19  # bytes that the checksum takes, whatever the file's size


def damage(kind: str, folder: Path, rng: Random) -> Path:
    """Write a damaged checkpoint.

    Args:
        kind: One of :data:`KINDS`.
        folder: Where to.
        rng: What the damage is drawn from.

    Returns:
        Its path.
    """
    path = folder / ("weights.npy" if kind.startswith("npy") else "model.ckpt")
    for old in folder.iterdir():
        old.unlink()
    file = KINDS[kind](path, rng)
    if file is not None:
        file.write_bytes(mutate(file.read_bytes(), rng))
    return path


def read(kind: str, path: Path) -> bool:
    """Read a damaged checkpoint; say whether that went well.

    Raises:
        AssertionError: If memory was taken beyond four times the file, or if other variables came back where there are
            checksums.
        Exception: Any fault but one that is to be expected of a damaged file.
    """
    limit = 4 * sum(file.stat().st_size for file in path.parent.iterdir()) + ANY_FILE
    variables, peak = measured(path)
    if peak > limit:  # tables of the interpreter's own may have grown meanwhile, but not again
        variables, peak = measured(path)
    assert peak <= limit, f"{kind}: it took {peak} bytes, more than {limit}"
    if variables is not None and path.suffix != ".npy" and "below" not in kind:
        assert_same(variables, TENSORS)
    return variables is not None


def measured(path: Path) -> tuple[dict[str, Any] | None, int]:
    """Return what a checkpoint holds, none where it is refused, and how many bytes of memory that took at most."""
    tracemalloc.start()
    try:
        variables = read_npy_layers(path) if path.suffix == ".npy" else read_tf_checkpoint(path)
    except (ValueError, OSError):
        variables = None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return variables, peak


def one_block(rng: Random) -> Callable[[bytes], bytes]:
    """Return what damages one of a file's three blocks before its checksum is taken."""
    left = [rng.randrange(3)]

    def change(content: bytes) -> bytes:
        left[0] -= 1
        return mutate(content, rng) if left[0] == -1 else content

    return change


def v1(path: Path, snappy: bool) -> Path:
    write_v1(path, TENSORS, snappy=snappy)
    return path


def v2(path: Path, part: str, snappy: bool = False) -> Path:
    write_v2(path, TENSORS, shards=2, snappy=snappy)
    return path.with_name(f"{path.name}.{part}")


def npy(path: Path, protocol: int) -> Path:
    write_npy(path, {})
    path.write_bytes(path.read_bytes()[:128] + pickle.dumps(np.array(LAYERS, dtype=object), protocol))
    return path


# Each writes a checkpoint and returns the file that is to be damaged, or none where it has done the damage itself.
KINDS: dict[str, Callable[[Path, Random], Path | None]] = {
    "version 1": lambda path, _: v1(path, snappy=False),
    "version 1, compressed": lambda path, _: v1(path, snappy=True),
    "version 2, index": lambda path, _: v2(path, "index"),
    "version 2, compressed index": lambda path, _: v2(path, "index", snappy=True),
    "version 2, data": lambda path, _: v2(path, "data-00000-of-00002"),
    "version 1, below its checksums": lambda path, rng: write_v1(path, SMALL, change=one_block(rng)),
    "version 2, below its checksums": lambda path, rng: write_v2(path, SMALL, shards=2, change=one_block(rng)),
    "version 1, below its compression": lambda path, rng: write_v1(path, SMALL, snappy=True, change=one_block(rng)),
    "npy, protocol 2": lambda path, _: npy(path, 2),
    "npy, protocol 4": lambda path, _: npy(path, 4),
}
