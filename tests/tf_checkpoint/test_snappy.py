"""Snappy blocks come back as they were, and claim no more than they may."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_adv.tf_checkpoint.snappy import decompress
from tests.tf_checkpoint.write import compress, copy, literal, varint

# Bytes with repetitions, near and far.
TEXTS = st.lists(st.sampled_from([b"weights", b"\0" * 70, b"ab", bytes(range(200)), b"x" * 3000])).map(b"".join)


def unpack(block: bytes, most: int = 2**20) -> bytes:
    return decompress(memoryview(block), most)


@given(st.one_of(st.binary(), TEXTS))
def test_what_was_compressed_comes_back(content: bytes) -> None:
    assert unpack(compress(content)) == content


@pytest.mark.parametrize("length", [1, 60, 61, 256, 257, 65536, 65537])
def test_literals_of_every_form(length: int) -> None:
    content = bytes(number % 251 for number in range(length))
    assert unpack(varint(length) + literal(content)) == content


@pytest.mark.parametrize("offset", [1, 3, 7, 2047, 2048, 65535, 65536])
@pytest.mark.parametrize("length", [1, 4, 11, 12, 64])
def test_copies_of_every_form_also_into_themselves(length: int, offset: int) -> None:
    content = bytes(number % 251 for number in range(offset))
    repeated = (content * (length // offset + 1))[:length]
    assert unpack(varint(offset + length) + literal(content) + copy(length, offset)) == content + repeated


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"", "cut off"),
        (varint(4) + literal(b"abc"), "damaged"),
        (varint(2) + literal(b"abc"), "damaged"),
        (varint(3) + literal(b"abc")[:-1], "damaged"),
        (varint(70) + literal(b"a" * 61)[:1], "damaged"),
        (varint(8) + literal(b"abcd") + copy(4, 5), "before its beginning"),
        (varint(8) + literal(b"abcd") + copy(4, 0), "before its beginning"),
        (varint(68) + literal(b"abcd") + copy(64, 4)[:-1], "damaged"),
        (varint(2**20 + 1) + literal(b"abcd"), "too many"),
    ],
)
def test_damage_is_refused(block: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        unpack(block)


def test_no_more_comes_out_than_is_claimed() -> None:
    with pytest.raises(ValueError, match="damaged"):
        unpack(varint(5) + literal(b"a") + copy(64, 1) * 100_000)
