"""What both versions of checkpoints say of a tensor: its name, its type, its shape."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_adv.tf_checkpoint.message import integer, parts

_DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 10: "?", 19: "<f2"}
_OTHER_TYPES = {4: "uint8", 7: "string", 8: "complex64", 14: "bfloat16", 20: "resource", 21: "variant"}
_MAX_NAME = 1024  # bytes
_MAX_RANK = 32


def to_name(data: bytes | memoryview) -> str:
    """Decode a variable's name."""
    if len(data) > _MAX_NAME:
        raise ValueError(f"the name of a variable in it is {len(data)} bytes long")
    return bytes(data).decode()


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Name the variable in errors that are raised meanwhile."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"its variable {name!r}: {error}") from error


def to_dtype(number: int) -> np.dtype[Any]:
    """Return NumPy's type for TensorFlow's number of a type."""
    if number not in _DTYPES:
        raise ValueError(f"it is of the type {_OTHER_TYPES.get(number, number)}, not of plain numbers")
    return np.dtype(_DTYPES[number])


def to_shape(message: memoryview) -> tuple[int, ...]:
    """Read a shape."""
    shape: list[int] = []
    for dimension in parts(message, 2):
        shape.append(integer(dimension, 1))
        if shape[-1] >= 2**62 or len(shape) > _MAX_RANK:
            raise ValueError("its shape is none that a variable can have")
    if integer(message, 3):
        raise ValueError("its shape is unknown")
    return tuple(shape)


def to_array(data: bytes | memoryview, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """View bytes as a tensor."""
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"it has {len(data)} bytes, which do not make the shape {shape} of {dtype.name}")
    return np.frombuffer(data, dtype).reshape(shape)
