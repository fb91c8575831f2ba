"""Which files a path to a checkpoint stands for."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lit_adv.tf_checkpoint.table import is_table
from lit_adv.tf_checkpoint.v2 import data_files

_ENDINGS = re.compile(r"\.(index|data-\d{5}-of-\d{5})$")


def is_tf_checkpoint(path: str | Path) -> bool:
    """Say whether a path stands for a TensorFlow checkpoint.

    Args:
        path: Any path.

    Returns:
        True where there is an index of version 2, or a file that ends as TensorFlow's tables do.

    Raises:
        OSError: If the file cannot be read.
    """
    path = Path(path)
    return _index(path).is_file() or (path.is_file() and is_table(path))


def checkpoint_files(path: str | Path) -> list[Path]:
    """Return the files that a path to a TensorFlow checkpoint stands for.

    Args:
        path: A file of version 1; or for version 2 the prefix of its files' names, or one of the files.

    Returns:
        The file of version 1, or the index of version 2 and then its data files. All of them exist.

    Raises:
        FileNotFoundError: If one of them does not exist.
        ValueError: If the index is damaged.
    """
    path = Path(path)
    index = _index(path)
    if not index.is_file():
        if path.is_file() and not _ENDINGS.search(path.name):
            return [path]
        raise FileNotFoundError(
            f"no checkpoint at {path}: neither a file of version 1 nor {index}, the index of version 2; "
            "put the index and its .data-* files side by side, or name the file"
        )
    with reading(path):
        data = data_files(index)
    for file in data:
        if not file.is_file():
            raise FileNotFoundError(f"no checkpoint at {path}: {file} is missing; put it beside {index}")
    return [index, *data]


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Name the checkpoint and the remedy in errors that are raised meanwhile."""
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be read as a TensorFlow checkpoint: {error}. Fetch it again; or, where TensorFlow is "
            "installed, read it with tf.train.load_checkpoint and save its variables under a new name"
        ) from error


def _index(path: Path) -> Path:
    """Return where the index of version 2 would lie."""
    return path.parent / f"{_ENDINGS.sub('', path.name)}.index"
