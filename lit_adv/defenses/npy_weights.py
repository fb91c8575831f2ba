"""Reads weights that were saved as an object array of NumPy arrays.

Such a file is a pickle inside, and a pickle may run anything. Here it may hold arrays of numbers and nothing else.
"""

import pickle
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lit_adv.array_pickle import ArrayUnpickler


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
        arrays = ArrayUnpickler(stream).load()
        return [np.array(array, dtype=np.float32) for array in arrays]
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} cannot be read as a list of arrays: {error}. Fetch the file again.") from error
