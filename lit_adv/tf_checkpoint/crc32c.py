"""CRC-32C (Castagnoli), the checksum of TensorFlow's files, at the speed of NumPy.

A checksum's register is linear: the register after ``A + B`` is the register after ``A``, advanced over as many zero
bytes as ``B`` has, xor the register of ``B`` alone. So a file is read as rows of thousands of 32-bit words, all columns
at once, and then the last row is folded in half until one word is left.
"""

from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

_Words = NDArray[np.uint32]

_POLYNOMIAL = np.uint32(0x82F63B78)  # its highest power is the lowest bit
_ONE = np.uint32(1)
_WORD = np.dtype("<u4")
_WIDEST = 14  # 2**14 words a row: fewer cost more calls, more leave the cache
# These four bytes take a register from zeros to ones, which is where every CRC-32C begins.
_START = (0x641F6454).to_bytes(4, "little")


def masked_crc32c(data: bytes | memoryview) -> int:
    """Return the CRC-32C of the data as LevelDB and TensorFlow store it, so that a checksum has another checksum."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes | memoryview) -> int:
    """Return the CRC-32C of the data."""
    total = len(_START) + len(data)
    level = min((-(-total // _WORD.itemsize) - 1).bit_length(), _WIDEST)
    row_bytes = _WORD.itemsize << level
    padding = -total % row_bytes  # zeros in front leave a register of zeros as it is
    head_bytes = min(2 * row_bytes, padding + total)
    head = bytes(padding) + _START + bytes(data[: head_bytes - padding - len(_START)])
    tail = np.frombuffer(memoryview(data)[head_bytes - padding - len(_START) :], _WORD)
    register = np.zeros(1 << level, _WORD)
    for row in chain(np.frombuffer(head, _WORD).reshape(-1, 1 << level), tail.reshape(-1, 1 << level)):
        register = _advance(register, level) ^ row
    for half in reversed(range(level)):
        register = _advance(register[: 1 << half], half) ^ register[1 << half :]
    return int(_advance(register, 0)[0]) ^ 0xFFFFFFFF


def _advance(registers: _Words, level: int) -> _Words:
    """Advance each register over 2**level words of zeros."""
    return _look_up(_tables()[level], registers)


def _look_up(tables: _Words, registers: _Words) -> _Words:
    octets = registers.view(np.uint8)
    advanced: _Words = tables[0].take(octets[0::4])
    for place in (1, 2, 3):
        advanced ^= tables[place].take(octets[place::4])
    return advanced


@cache
def _tables() -> list[_Words]:
    """Return for each level what becomes of a register's four bytes, each [4, 256]."""
    bits: _Words = _ONE << np.arange(32, dtype=_WORD)
    for _ in range(8 * _WORD.itemsize):  # by single bits over one word of zeros
        bits = bits >> _ONE ^ (bits & _ONE) * _POLYNOMIAL
    tables = []
    for _ in range(_WIDEST + 1):
        tables.append(np.stack([_sums(bits[start : start + 8]) for start in (0, 8, 16, 24)]))
        bits = _look_up(tables[-1], bits)  # twice as far
    return tables


def _sums(bits: _Words) -> _Words:
    """Return the xor of each subset of eight words, [256]."""
    sums = np.zeros(1, _WORD)
    for bit in bits:
        sums = np.concatenate([sums, sums ^ bit])
    return sums
