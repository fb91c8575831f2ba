"""TensorFlow's checkpoints, read without TensorFlow, and without ever executing what a file holds.

Both versions of the format are frozen: TensorFlow 2 still reads and writes the files of 2016.
"""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lit_adv.tf_checkpoint.files import checkpoint_files, is_tf_checkpoint, reading
from lit_adv.tf_checkpoint.npy import read_npy_layers
from lit_adv.tf_checkpoint.v1 import read_v1
from lit_adv.tf_checkpoint.v2 import read_v2

__all__ = ["checkpoint_files", "is_tf_checkpoint", "read_npy_layers", "read_tf_checkpoint"]


def read_tf_checkpoint(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read all variables of a TensorFlow checkpoint.

    Args:
        path: A file of version 1; or for version 2 the prefix of its files' names, or one of the files.

    Returns:
        The variables by their names, in TensorFlow's layouts (convolutions: height, width, in, out): float16, float32,
        float64, int32, int64 or bool. They are read-only, and those of version 1 may lie at any address: copy them
        before torch sees them.

    Raises:
        FileNotFoundError: If a file of it does not exist.
        OSError: If a file cannot be read.
        ValueError: If a file is damaged or no checkpoint, or if a variable is sliced or not of plain numbers. The
            message names the variable and the remedy.
    """
    files = checkpoint_files(path)
    with reading(path):
        return read_v1(files[0]) if len(files) == 1 else read_v2(files[0], files[1:])
