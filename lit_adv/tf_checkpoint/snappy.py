"""Snappy's block format; TensorFlow compressed the tables of its first checkpoints so."""

from lit_adv.tf_checkpoint.message import varint


def decompress(data: memoryview, most: int) -> bytes:
    """Decompress a block.

    Args:
        data: The block.
        most: The most bytes that may come out.

    Returns:
        What was compressed.

    Raises:
        ValueError: If the block is damaged, or more would come out.
    """
    length, at = varint(data, 0)
    if length > most:
        raise ValueError(f"a compressed block in it claims {length} bytes, too many for a file of its size")
    output = bytearray()
    while at < len(data):
        tag, at = data[at], at + 1
        if tag & 3 == 0:
            count, at = _literal_length(data, tag, at)
            output += data[at : at + count]
            at += count
        else:
            count, offset, at = _copy(data, tag, at)
            if not 0 < offset <= len(output):
                raise ValueError("a compressed block in it copies from before its beginning")
            source = output[-offset:][:count]
            output += (source * -(-count // offset))[:count]  # a copy may reach into itself
        if len(output) > length:
            break
    if at != len(data) or len(output) != length:
        raise ValueError("a compressed block in it is damaged")
    return bytes(output)


def _literal_length(data: memoryview, tag: int, at: int) -> tuple[int, int]:
    if tag >> 2 < 60:
        return (tag >> 2) + 1, at
    size = (tag >> 2) - 59
    return int.from_bytes(data[at : at + size], "little") + 1, at + size


def _copy(data: memoryview, tag: int, at: int) -> tuple[int, int, int]:
    size = (1, 2, 4)[(tag & 3) - 1]
    offset = int.from_bytes(data[at : at + size], "little")
    if size == 1:
        return (tag >> 2 & 7) + 4, tag >> 5 << 8 | offset, at + 1
    return (tag >> 2) + 1, offset, at + size
