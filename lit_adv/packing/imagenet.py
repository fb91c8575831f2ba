"""ImageNet-1k's own class indices."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from lit_adv.errors import MendableError

CLASS_COUNT = 1000


def is_wordnet_id(name: str) -> bool:
    """Tell whether a name is an id of WordNet, such as ``n01440764``."""
    return re.fullmatch("n[0-9]{8}", name) is not None


@cache
def imagenet_indices() -> dict[str, int]:
    """Return the class index of each WordNet id of ImageNet-1k, from the list that timm carries.

    Raises:
        MendableError: If timm is not installed, or carries no such list.
    """
    spec = find_spec("timm")  # importing it would import torch
    if spec is None or spec.origin is None:
        raise MendableError("the list of ImageNet's classes comes with timm, which is not installed: pip install timm")
    path = Path(spec.origin).parent / "data/_info/imagenet_synsets.txt"
    ids = path.read_text().split() if path.is_file() else []
    if len(ids) != CLASS_COUNT or not all(map(is_wordnet_id, ids)):
        raise MendableError(f"timm carries no list of ImageNet's classes in {path}: pip install --upgrade timm")
    return {name: index for index, name in enumerate(ids)}
