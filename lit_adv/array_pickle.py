"""Reads pickles that may hold NumPy arrays of numbers, plain containers of them, and nothing else.

A pickle may run anything when it is read. Published weights come as pickles all the same.
"""

import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Stands for numpy.ndarray in a pickle, which only ever passes it on to _reconstruct and must not call it.
_ARRAY = object()


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that admits what NumPy arrays of numbers consist of and refuses everything else.

    Raises:
        pickle.UnpicklingError: From :meth:`load`, if the pickle asks for anything else.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a global name in the pickle."""
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
