"""TensorFlow's tables, which are LevelDB's: sorted keys with values, in blocks with checksums."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lit_adv.tf_checkpoint.crc32c import masked_crc32c
from lit_adv.tf_checkpoint.message import varint
from lit_adv.tf_checkpoint.snappy import decompress

_FOOTER = 48
_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_TRAILER = 5  # after each block: how it is compressed, and its checksum


def is_table(path: Path) -> bool:
    """Say whether a file ends as a table does."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - len(_MAGIC)))
        return file.read() == _MAGIC


def read_table(path: Path) -> Iterator[tuple[bytes, memoryview]]:
    """Read a table from its beginning to its end, a block at a time.

    Args:
        path: A file.

    Yields:
        Each key and its value, by ascending keys, none twice.

    Raises:
        ValueError: If the file is no table or is damaged.
    """
    with path.open("rb") as file:
        blocks = _Blocks(file)
        previous, end = None, 0
        for _, handle in blocks.entries(*blocks.index):
            offset, size = _handle(handle)
            if offset < end:
                raise ValueError("it is damaged: a block lies in another block")
            end = offset + size
            for key, value in blocks.entries(offset, size):
                if previous is not None and key <= previous:
                    raise ValueError("its keys are out of order")
                yield key, value
                previous = key


class _Blocks:
    """The blocks of one table.

    Args:
        file: The table.

    Attributes:
        index: Where the index lies: offset and size.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = file.seek(0, 2) - _FOOTER
        file.seek(max(0, self._end))
        footer = memoryview(file.read(_FOOTER))
        if self._end < 0 or footer[-len(_MAGIC) :] != _MAGIC:
            raise ValueError("it does not end as TensorFlow's tables do: it is cut off, or something else")
        _, at = varint(footer, 0)
        _, at = varint(footer, at)  # after the offset and the size of the block of filters, which is empty
        self.index = _handle(footer[at:])
        # Compressed blocks and keys, which share what they begin with, may take more room than the file.
        self._room = 2**20 + 2 * self._end

    def entries(self, offset: int, size: int) -> Iterator[tuple[bytes, memoryview]]:
        """Yield the keys and values of a block."""
        block = self._read(offset, size)
        restarts = int.from_bytes(block[-4:], "little")
        end = len(block) - 4 * (restarts + 1)
        at, key = 0, b""
        if end < 0:
            raise ValueError("a block in it is damaged")
        while at < end:
            shared, at = varint(block, at)
            rest, at = varint(block, at)
            length, at = varint(block, at)
            if shared > len(key) or at + rest + length > end:
                raise ValueError("a block in it is damaged")
            self._take(shared + rest)
            key = key[:shared] + bytes(block[at : at + rest])
            yield key, block[at + rest : at + rest + length]
            at += rest + length

    def _read(self, offset: int, size: int) -> memoryview:
        """Return a block's content, its checksum verified."""
        if offset + size + _TRAILER > self._end:
            raise ValueError("it is cut off or damaged: a block lies beyond its end")
        self._file.seek(offset)
        block = memoryview(self._file.read(size + _TRAILER))
        if masked_crc32c(block[:-4]) != int.from_bytes(block[-4:], "little"):
            raise ValueError(f"it is damaged: the checksum of the block at byte {offset} is wrong")
        match block[size]:
            case 0:
                return block[:size]
            case 1:
                content = decompress(block[:size], self._room)
                self._take(len(content))
                return memoryview(content)
            case kind:
                raise ValueError(f"a block in it is compressed in the unknown way {kind}")

    def _take(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise ValueError("it holds more than a file of its size should")


def _handle(data: memoryview) -> tuple[int, int]:
    """Return the offset and the size of a block."""
    offset, at = varint(data, 0)
    size, _ = varint(data, at)
    return offset, size
