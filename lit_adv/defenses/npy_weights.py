"""Reads weights that were saved as an object array of NumPy arrays.

Such a file is a pickle inside, and a pickle may run anything. Here it may hold arrays of numbers and nothing else.
"""

import pickle
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


def load_array_list(path: Path) -> list[NDArray[np.float32]]:
    """Read a one-dimensional object array of float arrays.

    Args:
        path: A zip file, as ``numpy.savez`` writes it, with one such array in it.

    Returns:
        The arrays, in the order of the file, as float32.

    Raises:
        ValueError: If the file is not of this kind or its pickle asks for anything but arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = archive.namelist()
            stream = BytesIO(archive.read(name))
        if npy.read_magic(stream) != (1, 0):
            raise ValueError("its array is of another format version than 1.0")
        shape, _, dtype = npy.read_array_header_1_0(stream)
        if len(shape) != 1 or not dtype.hasobject:
            raise ValueError(f"it holds an array of shape {shape} and type {dtype}, not a list of arrays")
        arrays = _ArrayUnpickler(stream).load()
        return [np.array(array, dtype=np.float32) for array in arrays]
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} cannot be read as a list of arrays: {error}. Fetch the file again.") from error


# Stands for numpy.ndarray in a pickle, which only ever passes it on to _reconstruct and must not call it.
_ARRAY = object()


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that admits what NumPy arrays of numbers consist of and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct":
                return _reconstruct
            case "numpy", "ndarray":
                return _ARRAY
            case "numpy", "dtype":
                return np.dtype
            case "_codecs", "encode":
                return _encode
        raise pickle.UnpicklingError(f"its pickle asks for {module}.{name}, which no array consists of")


def _reconstruct(kind: object, shape: tuple[int, ...], dtype: bytes) -> NDArray[Any]:
    """Make the empty array that the pickle then fills, as NumPy's function of this name does."""
    if kind is not _ARRAY:
        raise pickle.UnpicklingError(f"its pickle asks for an array of the kind {kind}")
    return np.empty(shape, dtype.decode("latin1"))


def _encode(text: str, encoding: str) -> bytes:
    """Turn text into the bytes it stands for; protocol 2 writes bytes so."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"its pickle asks for the codec {encoding!r}")
    return text.encode("latin1")
