"""A pickle of arrays is read, and any other is refused before it can do anything."""

import pickle
import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lit_adv.array_pickle import ArrayUnpickler


def load(content: bytes) -> object:
    return ArrayUnpickler(BytesIO(content)).load()


@given(
    array=arrays(st.sampled_from([np.float32, np.float64, np.int64, np.uint8]), array_shapes(max_dims=4)),
    protocol=st.integers(2, 4),
)
def test_arrays_in_plain_containers_come_back_equal(array: np.ndarray, protocol: int) -> None:
    loaded = load(pickle.dumps({"layer": [array, array.T]}, protocol))
    assert isinstance(loaded, dict)
    np.testing.assert_array_equal(loaded["layer"][0], array)
    np.testing.assert_array_equal(loaded["layer"][1], array.T)
    assert loaded["layer"][0].dtype == array.dtype


class Payload:
    """Touches a file when it is unpickled freely."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    content = pickle.dumps([np.zeros(2), Payload(tmp_path / "ran")])
    with pytest.raises(pickle.UnpicklingError, match="which no array consists of"):
        load(content)
    assert not (tmp_path / "ran").exists()
    pickle.loads(content)  # noqa: S301  (the payload works)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"cos\nsystem\n(S'true'\ntR.", b"cnumpy\nload\n.", b"c_codecs\ndecode\n."])
def test_globals_other_than_an_array_s_are_refused(content: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match="which no array consists of"):
        load(content)


def test_an_array_in_two_places_is_one_array() -> None:
    array = np.arange(3)
    loaded = load(pickle.dumps({"a": array, "b": array}))
    assert isinstance(loaded, dict)
    assert loaded["a"] is loaded["b"]
    np.testing.assert_array_equal(loaded["a"], array)


def test_either_byte_order_and_arrays_of_arrays() -> None:
    nested = np.empty(2, object)
    nested[:] = [np.arange(4, dtype=">f4"), [np.float64, None][1:]]
    loaded = load(pickle.dumps(nested))
    assert isinstance(loaded, np.ndarray)
    np.testing.assert_array_equal(loaded[0], np.arange(4))
    assert loaded[1] == [None]


ARRAY = pickle.dumps(np.arange(3, dtype="<f8"), 3)
DTYPE_STATE = b"K\x03X\x01\x00\x00\x00<"  # its version and its byte order


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7fabc.", "damaged"),  # a length of nearly 2**63 bytes
        (b"\x80\x03B\xff\xff\xff\x7fabc.", "damaged"),
        (b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f.", "damaged"),
        (b"\x80\x05\x96" + b"\xff" * 7 + b"\x7fabc.", "damaged"),
        (ARRAY.replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85"), "does not make the shape"),
        (ARRAY.replace(b"K\x03\x85", b"J\xfd\xff\xff\xff\x85"), r"has the shape \(-3,\)"),
        (ARRAY.replace(b"K\x03\x85", b"(K\x03" + b"K\x01" * 40 + b"t"), "has the shape"),
        (ARRAY.replace(b"K\x00\x85", b"J\xff\xff\xff\x7f\x85"), "of another kind"),
        (ARRAY.replace(b"f8", b"V9"), "of the type 'V9'"),
        (ARRAY.replace(DTYPE_STATE, b"K\x03X\x01\x00\x00\x00x"), "damaged"),
        (b"\x80\x03}N(K\x01tb.", "damaged"),  # the state of a dictionary
        (b"\x80\x03cnumpy\ndtype\n(K\x01}tb.", "damaged"),  # of a function
        (b"\x80\x03]K\x01\x85R.", "damaged"),  # a call of a list
        (b"\x80\x03})K\x01s.", "damaged"),  # a tuple as key
        (b"\x80\x03h\x07.", "damaged"),
        (b"\x80\x03t.", "damaged"),
        (b"\x80\x03.", "damaged"),
        (b"\x80\x03", "damaged"),
        (b"", "damaged"),
        (b"I1\n.", "the instruction INT"),
    ],
)
def test_damage_is_refused_and_takes_no_memory(content: bytes, reason: str) -> None:
    tracemalloc.start()
    with pytest.raises(pickle.UnpicklingError, match=reason):
        load(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**24  # the lengths above ask for 2**31 and more


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x8c\x01mDEEP\x93.",
        b"\x80\x04DEEP\x8c\x01n\x93.",
        b"\x80\x04cnumpy\ndtype\nDEEP\x85R.",
        b"\x80\x04c_codecs\nencode\n\x8c\x01aDEEP\x86R.",
        ARRAY.replace(b"K\x00\x85", b"DEEP\x85"),
        ARRAY.replace(b"K\x03\x85", b"DEEP\x85"),
        ARRAY.replace(DTYPE_STATE, b"K\x03DEEP"),
    ],
)
def test_tuples_in_the_place_of_names_and_numbers_are_refused_by_their_type(content: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"damaged \(TypeError: something is not of type"):
        load(content.replace(b"DEEP", b")\x85\x85"))


def test_containers_within_containers_without_end_are_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match="longer than arrays need"):
        load(b"\x80\x03" + b"]" * 300_000 + b".")


def test_a_type_s_own_state_is_left_alone() -> None:
    load(
        ARRAY.replace(
            DTYPE_STATE + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t", DTYPE_STATE + b"NNNK\x07K\x07K\x3ft"
        )
    )
    assert np.dtype("f8").flags == 0
