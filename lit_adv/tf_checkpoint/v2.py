"""Checkpoints of version 2: a table that says where in which data file each tensor lies."""

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_adv.tf_checkpoint.crc32c import masked_crc32c
from lit_adv.tf_checkpoint.message import MAX_FIELDS, integer, part, parts
from lit_adv.tf_checkpoint.table import read_table
from lit_adv.tf_checkpoint.tensor import naming, to_array, to_dtype, to_name, to_shape

_SLICE = b"\0"  # begins the key of a variable's slice; the variable itself stands under its name, and is refused


@dataclass(frozen=True)
class _Entry:
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int

    @classmethod
    def read(cls, name: str, message: memoryview) -> "_Entry":
        if any(True for _ in parts(message, 7)):
            raise ValueError("it is saved in slices")
        dtype, shape = to_dtype(integer(message, 1)), to_shape(part(message, 2))
        return cls(name, dtype, shape, *(integer(message, number) for number in (3, 4, 5, 6)))


def data_files(index: Path) -> list[Path]:
    """Return where the data files of an index lie, whether they exist or not.

    Args:
        index: The file that ends in ``.index``.

    Raises:
        ValueError: If it is no such file or is damaged.
    """
    key, header = next(read_table(index), (b"", memoryview(b"")))
    shards = integer(header, 1)
    if key != b"" or not 0 < shards < 100_000 or integer(header, 2):
        raise ValueError("its header is none of a checkpoint's, or of one in big-endian order")
    prefix = index.with_suffix("")
    return [prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{shards:05d}") for shard in range(shards)]


def read_v2(index: Path, data: list[Path]) -> dict[str, NDArray[Any]]:
    """Read all variables of a checkpoint.

    Args:
        index: The file that ends in ``.index``.
        data: Its data files.

    Returns:
        The variables by their names.

    Raises:
        ValueError: If a file is damaged, or there are sliced variables or others than of numbers.
    """
    entries = []
    for key, message in read_table(index):
        if not key or key.startswith(_SLICE):
            continue
        name = to_name(key)
        with naming(name):
            entries.append(_Entry.read(name, message))
            if entries[-1].shard >= len(data):
                raise ValueError(f"it lies in data file {entries[-1].shard}, counted from 0, of only {len(data)}")
        if len(entries) > MAX_FIELDS:
            raise ValueError(f"it has more than {MAX_FIELDS} variables")
    arrays: dict[str, NDArray[Any]] = {}
    entries.sort(key=lambda entry: (entry.shard, entry.offset, entry.size))
    for shard, group in groupby(entries, key=lambda entry: entry.shard):
        arrays |= _read(data[shard], list(group))
    return arrays


def _read(path: Path, entries: list[_Entry]) -> dict[str, NDArray[Any]]:
    """Read the variables of one data file, by ascending offsets."""
    arrays = {}
    with path.open("rb") as file:
        end, position = file.seek(0, 2), 0
        for entry in entries:
            with naming(entry.name):
                if entry.offset < position:
                    raise ValueError("it lies within another variable")
                position = entry.offset + entry.size
                if position > end:
                    raise ValueError(f"{path.name} is cut off before its end")
                file.seek(entry.offset)
                content = file.read(entry.size)
                arrays[entry.name] = to_array(content, entry.dtype, entry.shape)
                if masked_crc32c(content) != entry.checksum:
                    raise ValueError(f"its checksum is wrong; {path.name} is damaged")
    return arrays
