"""Weights of TF-slim's networks that were saved for PyTorch, as a dictionary in an .npy file."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_adv.array_pickle import ArrayUnpickler

Layer = dict[str, NDArray[Any]]

_MAGIC = b"\x93NUMPY\x01\x00"
# What numpy.save writes in front of a dictionary, which for NumPy is an array of one object.
_HEADER = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"


def read_npy_layers(path: str | Path) -> dict[str, Layer]:
    """Read a dictionary of layers, each a dictionary of arrays.

    Such a file is a pickle inside, and a pickle may run anything. Here it may hold arrays of numbers and nothing else.
    It has no checksums.

    Args:
        path: The file.

    Returns:
        The arrays of each layer by their names, as the file has them. They may be read-only: copy them before torch
        sees them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another kind, is damaged, or asks for anything but arrays of numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC) + 2)
            header = file.read(int.from_bytes(start[-2:], "little"))
            if not start.startswith(_MAGIC) or header.strip() != _HEADER:
                raise ValueError("it does not begin as numpy.save begins a dictionary")
            content = ArrayUnpickler(file).load()
        return _layers(content)
    except (ValueError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} cannot be read as a dictionary of layers: {error}. Fetch it again") from error


def _layers(content: object) -> dict[str, Layer]:
    layers = content.item() if isinstance(content, np.ndarray) and content.shape == () else None
    if not isinstance(layers, dict):
        raise ValueError("it holds no dictionary")
    for name, layer in layers.items():
        if not isinstance(name, str) or not isinstance(layer, dict):
            raise ValueError(f"its layer {name!r} is no dictionary under a name")
        for key, array in layer.items():
            if not isinstance(array, np.ndarray) or array.dtype.hasobject:
                raise ValueError(f"{key!r} of its layer {name!r} is no array of numbers")
    return layers
