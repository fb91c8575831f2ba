"""The restricted reader of pickled arrays."""

import codecs
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lit_adv.defenses.npy_weights import load_array_list

Write = Callable[[Path, object], None]


def object_array(*arrays: object) -> np.ndarray:
    result = np.empty(len(arrays), dtype=object)
    result[:] = arrays
    return result


class Calls:
    """Pickles to a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self):  # noqa: ANN204
        return self.call


def test_the_published_form_is_read(tmp_path: Path, write_array_list: Write) -> None:
    arrays = [np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4), np.array([0.5, -1.0], dtype=np.float32)]
    write_array_list(tmp_path / "w.npy", object_array(*arrays))
    for loaded, array in zip(load_array_list(tmp_path / "w.npy"), arrays, strict=True):
        assert loaded.dtype == np.float32
        np.testing.assert_array_equal(loaded, array)


def test_what_this_numpy_saves_is_read_too(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((3, 3)).astype(np.float32)
    np.savez(tmp_path / "w.npz", w=object_array(array, array[0]))
    first, second = load_array_list(tmp_path / "w.npz")
    np.testing.assert_array_equal(first, array)
    np.testing.assert_array_equal(second, array[0])


def test_a_pickle_that_runs_a_command_is_refused_unrun(tmp_path: Path, write_array_list: Write) -> None:
    victim = tmp_path / "victim"
    write_array_list(tmp_path / "w.npy", Calls(os.system, f"touch {victim}"))
    with pytest.raises(ValueError, match=r"w\.npy .*system"):
        load_array_list(tmp_path / "w.npy")
    assert not victim.exists()


@pytest.mark.parametrize(
    "content",
    [
        # An object array over bytes would take them for addresses.
        Calls(np.ndarray, (1,), np.dtype("O"), b"AAAAAAAA"),
        Calls(codecs.encode, "x", "rot13"),
        Calls(np.load, "elsewhere.npy"),
        {"an array": "is not a dictionary"},
    ],
)
def test_anything_but_a_list_of_arrays_is_refused(tmp_path: Path, write_array_list: Write, content: object) -> None:
    write_array_list(tmp_path / "w.npy", content)
    with pytest.raises(ValueError, match="cannot be read as a list of arrays"):
        load_array_list(tmp_path / "w.npy")


def test_damaged_files_are_refused_by_name(tmp_path: Path, write_array_list: Write) -> None:
    path = tmp_path / "w.npy"
    write_array_list(path, object_array(np.ones(1000, dtype=np.float32)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"w\.npy"):
        load_array_list(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", "not an array")
    with pytest.raises(ValueError, match=r"w\.npy"):
        load_array_list(path)
