"""What is damaged, foreign or unusual is refused; the message names the file, the variable and the remedy."""

import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from lit_adv.tf_checkpoint import checkpoint_files, read_tf_checkpoint
from lit_adv.tf_checkpoint.table import read_table
from tests.tf_checkpoint.test_read import DATA, GOLDEN
from tests.tf_checkpoint.tiny import assert_same
from tests.tf_checkpoint.write import MAGIC, block, field, fixed32, sealed, shape, table, varint, write_v1, write_v2

Write = Callable[..., None]

ONE = np.ones(3, np.float32)
EVERYTHING = field(1, b"")  # a slice of one dimension
EXTENT = field(1, field(1, 1) + field(2, 2))  # two elements from the second on


def refused(path: Path) -> str:
    with pytest.raises(ValueError, match=r"tf\.train\.load_checkpoint") as caught:
        read_tf_checkpoint(path)
    assert str(caught.value).startswith(f"{path} cannot be read as a TensorFlow checkpoint: ")
    return str(caught.value)


def declared(
    *, name: bytes = b"Net/x", kind: int = 1, sizes: bytes = shape(ONE), slices: bytes = field(4, EVERYTHING)
) -> bytes:
    """Return an entry of version 1's list of variables."""
    return field(1, field(1, name) + field(2, sizes) + field(3, kind) + slices)


def saved(values: bytes = field(5, ONE.tobytes()), *, name: bytes = b"Net/x", extent: bytes = EVERYTHING) -> bytes:
    """Return the value of a variable of version 1."""
    return field(2, field(1, name) + field(2, extent) + field(3, values))


def v1(path: Path, variables: bytes, *values: bytes) -> Path:
    entries = [(b"\0" + bytes([number]), value) for number, value in enumerate(values)]
    path.write_bytes(table([(b"", field(1, variables)), *entries]))
    return path


BROKEN_V1 = {
    "a type of text": (declared(kind=7), [saved()], "'Net/x': it is of the type string"),
    "an unknown type": (declared(kind=99), [saved()], "'Net/x': it is of the type 99"),
    "two slices": (declared(slices=2 * field(4, EXTENT)), [saved()], "'Net/x': it is saved in slices"),
    "a slice": (declared(slices=field(4, EXTENT)), [saved()], "'Net/x': it is saved in slices"),
    "a value that is a slice": (declared(), [saved(extent=EXTENT)], "'Net/x': it is saved in slices"),
    "too few values": (declared(), [saved(field(5, bytes(8)))], "'Net/x': it has 8 bytes, which do not make"),
    "no values": (declared(), [saved(b"")], "'Net/x': it has 0 bytes"),
    "too few integers": (declared(kind=3), [saved(field(7, b"\1\2"))], "'Net/x': it has 2 bytes, too few"),
    "fewer integers than bytes": (declared(kind=3), [saved(field(7, b"\x81\1\2"))], "'Net/x': "),
    "an integer without end": (declared(kind=3), [saved(field(7, b"\x80" * 11))], "'Net/x': a number in it is cut off"),
    "a shape beyond any memory": (
        declared(sizes=field(2, field(1, 2**61)) * 3), [saved()], "'Net/x': it has 12 bytes, which do not make"
    ),
    "integers beyond any memory": (
        declared(kind=9, sizes=field(2, field(1, 2**61))), [saved(field(10, b"\1"))], "'Net/x': it has 1 bytes, too few"
    ),
    "a negative size": (declared(sizes=field(2, field(1, -1))), [saved()], "'Net/x': its shape is none"),
    "too many dimensions": (declared(sizes=field(2, field(1, 1)) * 99), [saved()], "'Net/x': its shape is none"),
    "an unknown shape": (declared(sizes=field(3, 1)), [saved()], "'Net/x': its shape is unknown"),
    "a variable twice": (declared(), [saved(), saved()], "'Net/x': it is in the file twice"),
    "a variable that is not listed": (declared(), [saved(name=b"other")], "'other': it is in the file twice, or not"),
    "a variable without a value": (declared() + declared(name=b"Net/y"), [saved()], "'Net/y' is missing"),
    "no list": (b"", [], "a table without a list"),
    "a name that is too long": (declared(name=b"x" * 5000), [saved()], "the name of a variable in it is 5000 bytes"),
    "a name that is no text": (declared(name=b"\xff"), [saved()], "codec can't decode"),
    "a message that is cut off": (declared()[:-1], [saved()], "cut off"),
    "a number for a message": (field(1, 7), [saved()], "field 1 of a message in it is a number"),
    "a field of an unknown kind": (b"\x0b", [saved()], "unknown kind 3"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN_V1)
def test_version_1(fault: str, tmp_path: Path) -> None:
    variables, values, reason = BROKEN_V1[fault]
    assert reason in refused(v1(tmp_path / "model.ckpt", variables, *values))


def test_raw_content_of_version_1_is_taken_too(tmp_path: Path) -> None:
    path = v1(tmp_path / "model.ckpt", declared(), saved(field(4, ONE.tobytes())))
    np.testing.assert_array_equal(read_tf_checkpoint(path)["Net/x"], ONE)


def entry(*, kind: int = 1, sizes: bytes = shape(ONE), shard: int = 0, offset: int = 0, size: int = 12) -> bytes:
    """Return an entry of version 2, with the checksum of twelve zeros."""
    return field(1, kind) + field(2, sizes) + field(3, shard) + field(4, offset) + field(5, size) + CHECKSUM


CHECKSUM = fixed32(6, 0)
HEADER = field(1, 1)
BROKEN_V2 = {
    "a type of text": ([(b"", HEADER), (b"Net/x", entry(kind=7))], "'Net/x': it is of the type string"),
    "slices": ([(b"", HEADER), (b"Net/x", entry() + field(7, EXTENT))], "'Net/x': it is saved in slices"),
    "a wrong checksum": ([(b"", HEADER), (b"Net/x", entry())], "'Net/x': its checksum is wrong; model.ckpt.data-00000"),
    "a size beyond the file": (
        [(b"", HEADER), (b"Net/x", entry(size=2**40))], f"'Net/x': model.ckpt.{DATA} is cut off"
    ),
    "an offset beyond the file": (
        [(b"", HEADER), (b"Net/x", entry(offset=2**63))], f"'Net/x': model.ckpt.{DATA} is cut off"
    ),
    "a size that is not the shape's": ([(b"", HEADER), (b"Net/x", entry(size=8))], "'Net/x': it has 8 bytes"),
    "a data file of none": ([(b"", HEADER), (b"Net/x", entry(shard=1))], "'Net/x': it lies in data file 1, counted"),
    "no header": ([(b"Net/x", entry())], "its header is none of a checkpoint's"),
    "no data files": ([(b"", field(1, 0))], "its header is none of a checkpoint's"),
    "too many data files": ([(b"", field(1, 2**40))], "its header is none of a checkpoint's"),
    "big-endian data": ([(b"", HEADER + field(2, 1))], "big-endian"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN_V2)
def test_version_2(fault: str, tmp_path: Path) -> None:
    entries, reason = BROKEN_V2[fault]
    (tmp_path / "model.ckpt.index").write_bytes(table(entries))
    (tmp_path / f"model.ckpt.{DATA}").write_bytes(bytes(16))
    assert reason in refused(tmp_path / "model.ckpt")


def test_variables_of_version_2_may_not_share_their_bytes(tmp_path: Path) -> None:
    write_v2(tmp_path / "model.ckpt", {"Net/a": ONE})
    content = (tmp_path / "model.ckpt.index").read_bytes()
    at = content.index(b"\x08\1\x12")  # the entry of the one variable
    value = content[at : content.index(b"\0\0\0\0\1\0\0\0", at)]
    (tmp_path / "model.ckpt.index").write_bytes(table([(b"", HEADER), (b"Net/a", value), (b"Net/b", value)]))
    assert "'Net/b': it lies within another variable" in refused(tmp_path / "model.ckpt")


def test_a_partitioned_variable_of_tensorflow_s_own() -> None:
    assert "its variable 'Net/part': it is saved in slices" in refused(GOLDEN / "sliced_v2.ckpt")


@pytest.mark.parametrize("write", [write_v1, write_v2])
def test_a_file_cut_anywhere_is_refused(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    write(path, {"Net/a": ONE, "Net/b": ONE})
    for file in checkpoint_files(path):
        content = file.read_bytes()
        for length in range(len(content)):
            file.write_bytes(content[:length])
            assert "its checksum" not in refused(path)
        file.write_bytes(content)
    assert len(read_tf_checkpoint(path)) == 2


@pytest.mark.parametrize("write", [write_v1, write_v2])
def test_no_flipped_bit_makes_another_variable(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    write(path, {"Net/a": ONE})
    for file in checkpoint_files(path):
        content = file.read_bytes()
        unnoticed = 0
        for at in range(len(content)):
            file.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
            with suppress(ValueError):
                assert_same(read_tf_checkpoint(path), {"Net/a": ONE})
                unnoticed += 1
        assert unnoticed <= 13 + 40  # the empty block of filters, and what fills the footer
        file.write_bytes(content)


def table_of(blocks: list[bytes], handles: list[bytes]) -> bytes:
    """Return a table of blocks, of which the index names any."""
    data = b"".join(blocks)
    index = block([(bytes([number]), handle) for number, handle in enumerate(handles)])
    footer = bytes(2) + varint(len(data)) + varint(len(index))
    return data + sealed(index + b"\0") + footer.ljust(40, b"\0") + MAGIC


def one_block(content: bytes, kind: bytes = b"\0") -> bytes:
    return table_of([sealed(content + kind)], [varint(0) + varint(len(content))])


LIST = (b"", field(1, declared()))
CONTENT = block([LIST, (b"\0x", saved())])
HANDLE = varint(0) + varint(len(CONTENT))
WHOLE = sealed(CONTENT + b"\0")
BROKEN_TABLES = {
    "a block twice": (table_of([WHOLE], [HANDLE, HANDLE]), "a block lies in another block"),
    "a block beyond the end": (table_of([WHOLE], [varint(2**63) * 2]), "a block lies beyond its end"),
    "a handle that is cut off": (table_of([WHOLE], [HANDLE[:1]]), "a number in it is cut off"),
    "a wrong checksum": (table_of([CONTENT + b"\0abcd"], [HANDLE]), "the checksum of the block at byte 0 is wrong"),
    "an unknown compression": (one_block(CONTENT, b"\7"), "compressed in the unknown way 7"),
    "a compressed block of any size": (one_block(varint(2**40) + CONTENT, b"\1"), "claims 1099511627776 bytes"),
    "no block": (one_block(b""), "a block in it is damaged"),
    "too many restarts": (one_block(b"\xff" * 4), "a block in it is damaged"),
    "a key that shares more than there is": (one_block(b"\7\1\1ab" + bytes(8)), "a block in it is damaged"),
    "a value beyond the block": (one_block(b"\0\1\x7fab" + bytes(8)), "a block in it is damaged"),
    "keys out of order": (one_block(block([LIST, (b"\0y", saved()), (b"\0x", b"")])), "its keys are out of order"),
    "a key twice": (one_block(block([LIST, LIST])), "its keys are out of order"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN_TABLES)
def test_tables(fault: str, tmp_path: Path) -> None:
    content, reason = BROKEN_TABLES[fault]
    (tmp_path / "model.ckpt").write_bytes(content)
    assert reason in refused(tmp_path / "model.ckpt")


def test_what_compressed_blocks_hold_together_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    path.write_bytes(table([(bytes([number]), bytes(600_000)) for number in range(3)], snappy=True))
    assert path.stat().st_size < 100_000
    with pytest.raises(ValueError, match=r"a compressed block in it claims \d+ bytes, too many for a file of its size"):
        list(read_table(path))


def test_what_keys_hold_together_is_bounded(tmp_path: Path) -> None:
    names = [b"x" * 1000 + number.to_bytes(2, "big") for number in range(2000)]
    (tmp_path / "model.ckpt").write_bytes(table([(name, b"") for name in names]))
    with pytest.raises(ValueError, match="it holds more than a file of its size should"):
        list(read_table(tmp_path / "model.ckpt"))


@pytest.mark.parametrize("name", ["missing.ckpt", "missing.ckpt.index", "", f"v1.ckpt.{DATA}"])
def test_a_missing_checkpoint_is_said_to_be_missing(name: str, tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "v1.ckpt", tmp_path / f"v1.ckpt.{DATA}")
    with pytest.raises(FileNotFoundError, match=re.escape(f"no checkpoint at {tmp_path / name}: neither")):
        read_tf_checkpoint(tmp_path / name)


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    write_v2(tmp_path / "model.ckpt", {"Net/a": ONE, "Net/b": ONE}, shards=2)
    (tmp_path / "model.ckpt.data-00001-of-00002").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.ckpt\.data-00001-of-00002 is missing; put it beside"):
        checkpoint_files(tmp_path / "model.ckpt.index")


@pytest.mark.parametrize("content", [b"", b"PK\3\4" + bytes(100), bytes(1000)])
def test_foreign_files(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    assert "it does not end as TensorFlow's tables do" in refused(tmp_path / "model.pt")
