"""Writes TensorFlow's checkpoints, and .npy files of layers, as plainly as their formats can be said."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from lit_adv.tf_checkpoint.crc32c import masked_crc32c  # held to a plain loop in test_crc32c.py

# TensorFlow's number of a type, and the field of a tensor's message that version 1 stores its values in.
TYPES = {"float32": (1, 5), "float64": (2, 6), "int32": (3, 7), "int64": (9, 10), "bool": (10, 11), "float16": (19, 13)}
MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
RESTART_INTERVAL = 16

Tensors = Mapping[str, np.ndarray]
Change = Callable[[bytes], bytes]


def write_v1(path: Path, tensors: Tensors, *, snappy: bool = False, change: Change = bytes) -> None:
    """Write a file of version 1.

    Args:
        path: The file.
        tensors: The variables by their names.
        snappy: Whether its blocks are compressed.
        change: What is done to the content of each block before its checksum is taken.
    """
    listed, entries = b"", []
    for name, tensor in tensors.items():
        number, values = TYPES[tensor.dtype.name]
        everything = field(1, b"") * tensor.ndim  # a slice: for each dimension an empty message
        listed += field(1, field(1, name.encode()) + field(2, shape(tensor)) + field(3, number) + field(4, everything))
        content = field(1, name.encode()) + field(2, everything) + field(3, field(values, packed(tensor)))
        entries.append((b"\0" + name.encode() + b"\0", field(2, content)))
    path.write_bytes(table([(b"", field(1, listed)), *entries], snappy, change))


def write_v2(prefix: Path, tensors: Tensors, *, shards: int = 1, snappy: bool = False, change: Change = bytes) -> None:
    """Write an index and data files of version 2, the variables dealt out in turn.

    Args:
        prefix: What the files' names begin with.
        tensors: The variables by their names.
        shards: How many data files.
        snappy: Whether the index's blocks are compressed.
        change: What is done to the content of each block before its checksum is taken.
    """
    data = [bytearray() for _ in range(shards)]
    entries = [(b"", field(1, shards) + field(3, field(1, 1)))]
    for number, (name, tensor) in enumerate(tensors.items()):
        content, shard = little_endian(tensor), number % shards
        entry = field(1, TYPES[tensor.dtype.name][0]) + field(2, shape(tensor)) + field(3, shard)
        entry += field(4, len(data[shard])) + field(5, len(content)) + fixed32(6, masked_crc32c(content))
        entries.append((name.encode(), entry))
        data[shard] += content
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(entries, snappy, change))
    for shard, content in enumerate(data):
        prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{shards:05d}").write_bytes(content)


def write_npy(path: Path, layers: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write a dictionary of layers, each a dictionary of arrays."""
    np.save(path, np.array({name: dict(arrays) for name, arrays in layers.items()}, dtype=object), allow_pickle=True)


def table(entries: list[tuple[bytes, bytes]], snappy: bool = False, change: Change = bytes) -> bytes:
    """Return a table of keys and values, which it sorts."""
    content = bytearray()

    def add(block_entries: list[tuple[bytes, bytes]]) -> bytes:
        """Append a block; return its offset and size."""
        plain = change(block(block_entries))
        stored = compress(plain) if snappy else plain
        handle = varint(len(content)) + varint(len(stored))
        content.extend(sealed(stored + bytes([snappy])))
        return handle

    index, waiting = [], []
    for key, value in sorted(entries):
        waiting.append((key, value))
        if sum(len(value) for _, value in waiting) > 2**18:  # TensorFlow's size of a block
            index.append((key, add(waiting)))
            waiting = []
    if waiting:
        index.append((waiting[-1][0] + b"\xff", add(waiting)))
    handles = add([]) + add(index)  # of the filters, of which there are none, and of the index
    return bytes(content) + handles.ljust(40, b"\0") + MAGIC


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Return the content of a block; keys leave out what they share with the key before."""
    content, restarts, previous = bytearray(), [], b""
    for number, (key, value) in enumerate(entries):
        shared = common(key, previous)
        if number % RESTART_INTERVAL == 0:
            restarts.append(len(content))
            shared = 0
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        previous = key
    restarts = restarts or [0]
    return bytes(content) + b"".join(at.to_bytes(4, "little") for at in [*restarts, len(restarts)])


def sealed(block_and_kind: bytes) -> bytes:
    """Return a block with its checksum behind it."""
    return block_and_kind + masked_crc32c(block_and_kind).to_bytes(4, "little")


@lru_cache(maxsize=32)  # in plain Python it takes a second a megabyte, and tests write the same again and again
def compress(content: bytes) -> bytes:
    """Compress by Snappy: what begins with four bytes that were there before is copied from where they last were."""
    output, seen = bytearray(varint(len(content))), {}
    at = begun = 0
    while at < len(content):
        start, seen[content[at : at + 4]] = seen.get(content[at : at + 4]), at
        length = 0 if start is None else common(content[at : at + 64], content[start : start + 64])
        if length < 4:
            at += 1
            continue
        output += literal(content[begun:at]) + copy(length, at - start)
        at = begun = at + length
    return bytes(output + literal(content[begun:]))


def common(one: bytes, other: bytes) -> int:
    """Return how many bytes at their beginnings are the same."""
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    return length


def literal(content: bytes) -> bytes:
    """Return the element that stands for bytes as they are."""
    if len(content) <= 60:
        return bytes([len(content) - 1 << 2]) + content if content else b""
    length = (len(content) - 1).to_bytes(4, "little").rstrip(b"\0")
    return bytes([59 + len(length) << 2]) + length + content


def copy(length: int, offset: int) -> bytes:
    """Return the shortest element that repeats what was ``offset`` bytes before."""
    if 4 <= length <= 11 and offset < 2**11:
        return bytes([1 | length - 4 << 2 | offset >> 8 << 5, offset & 0xFF])
    if offset < 2**16:
        return bytes([2 | length - 1 << 2]) + offset.to_bytes(2, "little")
    return bytes([3 | length - 1 << 2]) + offset.to_bytes(4, "little")


def field(number: int, value: int | bytes) -> bytes:
    """Return a field of a message: an integer, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed32(number: int, value: int) -> bytes:
    """Return a field of a message that is an integer of four bytes."""
    return varint(number << 3 | 5) + value.to_bytes(4, "little")


def varint(value: int) -> bytes:
    """Return an integer of seven bits a byte; a negative one as 64 bits."""
    value %= 2**64
    output = bytearray()
    while value >= 0x80:
        output.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(output) + bytes([value])


def shape(tensor: np.ndarray) -> bytes:
    """Return the message of a shape."""
    return b"".join(field(2, field(1, size)) for size in tensor.shape)


def packed(tensor: np.ndarray) -> bytes:
    """Return the values as version 1 packs them: floats as they are, all others as varints."""
    if tensor.dtype.name in ("float32", "float64"):
        return little_endian(tensor)
    values = tensor.view(np.uint16) if tensor.dtype.name == "float16" else tensor
    return b"".join(varint(int(value)) for value in values.ravel())


def little_endian(tensor: np.ndarray) -> bytes:
    """Return the values as they lie in a little-endian machine's memory."""
    return tensor.astype(tensor.dtype.newbyteorder("<")).tobytes()
