"""Checkpoints of version 1: one table, whose values are messages that hold the tensors."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_adv.tf_checkpoint.message import integer, part, parts, varints
from lit_adv.tf_checkpoint.table import read_table
from lit_adv.tf_checkpoint.tensor import naming, to_array, to_dtype, to_name, to_shape

# In which field of a tensor the values of a type are, packed, unless field 4 has them as they lie in memory.
_FIXED = {"float32": 5, "float64": 6}
_VARINTS = {"int32": 7, "int64": 10, "bool": 11, "float16": 13}
_MOST_VARINTS = 2**20  # each takes eight bytes, and time; slim's networks have one, the global step


def read_v1(path: Path) -> dict[str, NDArray[Any]]:
    """Read all variables of a file.

    Args:
        path: The file.

    Returns:
        The variables by their names.

    Raises:
        ValueError: If the file is none of this kind, is damaged, or has sliced variables or others than of numbers.
    """
    declared: dict[str, memoryview] = {}
    arrays: dict[str, NDArray[Any]] = {}
    for key, value in read_table(path):
        if key == b"":
            declared = {to_name(part(variable, 1)): variable for variable in parts(part(value, 1), 1)}
            continue
        saved = part(value, 2)
        name = to_name(part(saved, 1))
        with naming(name):
            if name not in declared or name in arrays:
                raise ValueError("it is in the file twice, or not in its list of variables")
            arrays[name] = _read(declared[name], saved)
    if not declared:
        raise ValueError("it is a table without a list of variables")
    if missing := declared.keys() - arrays.keys():
        raise ValueError(f"its variable {min(missing)!r} is missing")
    return arrays


def _read(declared: memoryview, saved: memoryview) -> NDArray[Any]:
    dtype, shape = to_dtype(integer(declared, 3)), to_shape(part(declared, 2))
    slices = [*parts(declared, 4), part(saved, 2)]
    if len(slices) > 2 or any(len(extent) for one in slices for extent in parts(one, 1)):
        raise ValueError("it is saved in slices")
    tensor = part(saved, 3)
    if raw := part(tensor, 4):
        return to_array(raw, dtype, shape)
    if dtype.name in _FIXED:
        return to_array(part(tensor, _FIXED[dtype.name]), dtype, shape)
    count = math.prod(shape)
    packed = part(tensor, _VARINTS[dtype.name])
    if count > min(len(packed), _MOST_VARINTS):
        raise ValueError(f"it has {len(packed)} bytes, too few for the shape {shape}, or more than the reader takes")
    values = np.fromiter(varints(packed), np.uint64, count)
    if dtype.name == "float16":
        return values.astype(np.uint16).view(dtype).reshape(shape)
    return values.view(np.int64).astype(dtype).reshape(shape)
