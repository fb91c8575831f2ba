"""A pickle of arrays is read, and any other is refused before it can do anything."""

import pickle
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
