"""Protocol buffers' wire format, as far as checkpoints use it.

A message is a run of fields, each a number and a value. As in protocol buffers, a field that is absent is 0 or empty,
and of a single value that comes twice the last counts.
"""

from collections.abc import Iterator

MAX_FIELDS = 100_000  # of one message; the longest is the list of a V1 file's variables


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """Read an integer of seven bits a byte.

    Args:
        data: Where it stands.
        at: Where it begins.

    Returns:
        The integer, below 2**64, and where the next thing begins.

    Raises:
        ValueError: If it is cut off or too long.
    """
    value = 0
    for shift, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, at + shift + 1
    raise ValueError("a number in it is cut off or above 64 bits")


def integer(message: memoryview, number: int) -> int:
    """Return the integer of a field; a negative one comes as it is written, plus 2**64."""
    value = 0
    for found, content in _fields(message):
        if found == number:
            if not isinstance(content, int):
                raise ValueError(f"field {number} of a message in it is no number")
            value = content
    return value


def part(message: memoryview, number: int) -> memoryview:
    """Return the bytes of a field."""
    value = memoryview(b"")
    for value in parts(message, number):  # noqa: B007  (the last counts)
        pass
    return value


def parts(message: memoryview, number: int) -> Iterator[memoryview]:
    """Return the bytes of each field of this number."""
    for found, content in _fields(message):
        if found == number:
            if isinstance(content, int):
                raise ValueError(f"field {number} of a message in it is a number")
            yield content


def varints(data: memoryview) -> Iterator[int]:
    """Return the integers of a packed field."""
    at = 0
    while at < len(data):
        value, at = varint(data, at)
        yield value


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    for _ in range(MAX_FIELDS):
        if at == len(message):
            return
        tag, at = varint(message, at)
        match tag & 7:
            case 0:
                value, at = varint(message, at)
                yield tag >> 3, value
                continue
            case 2:
                length, at = varint(message, at)
            case 1 | 5 as wire:
                length = 8 if wire == 1 else 4
            case wire:
                raise ValueError(f"a message in it has a field of the unknown kind {wire}")
        content = message[at : at + length]
        if len(content) < length:
            raise ValueError("a message in it is cut off")
        yield tag >> 3, content if tag & 7 == 2 else int.from_bytes(content, "little")
        at += length
    raise ValueError(f"a message in it has more than {MAX_FIELDS} fields")
