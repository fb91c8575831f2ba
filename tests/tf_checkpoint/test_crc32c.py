"""The checksum is CRC-32C, whatever the length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_adv.tf_checkpoint.crc32c import crc32c, masked_crc32c

ROW = 4 << 14  # the bytes that are taken at once


def plain_crc32c(data: bytes) -> int:
    """Return the checksum bit by bit, as the polynomial is defined."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


# RFC 3720, B.4, and the check value by which CRCs are told apart.
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_published_values(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected
    assert crc32c(memoryview(b"x" + data)[1:]) == expected  # at any address


@given(st.binary(max_size=300))
def test_every_short_length_equals_a_plain_loop(data: bytes) -> None:
    assert crc32c(data) == plain_crc32c(data)


@pytest.mark.parametrize("length", [ROW - 5, ROW - 4, ROW - 3, ROW, 2 * ROW - 4, 2 * ROW - 1, 2 * ROW, 3 * ROW + 7])
def test_lengths_about_whole_rows_equal_a_plain_loop(length: int) -> None:
    data = np.random.default_rng(length).bytes(length)
    assert crc32c(data) == plain_crc32c(data)


def test_a_checksum_is_stored_masked() -> None:
    # LevelDB: rotated right by 15 bits, plus a constant.
    assert masked_crc32c(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32
