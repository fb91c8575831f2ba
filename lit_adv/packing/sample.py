"""A small set of real, labeled ImageNet images for demonstrations.

They are the 20 images that the ``foolbox`` package carries.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from lit_adv.packing import LabeledImage, pack_images

SAMPLES_PER_SHARD = 10


def pack_foolbox_sample(destination: str) -> str:
    """Pack the sample images into two shards, unless they are there already.

    Args:
        destination: Folder for the shards.

    Returns:
        The folder.

    Raises:
        ImportError: If foolbox is not installed.
    """
    pack_images(find_images(), destination, SAMPLES_PER_SHARD, "imagenet-sample")
    return destination


def find_images() -> list[LabeledImage]:
    """Return the images, in the order of their numbers' digits.

    Raises:
        ImportError: If foolbox is not installed.
    """
    spec = find_spec("foolbox")
    if spec is None or spec.origin is None:
        raise ImportError("the sample images are part of foolbox, which is not installed: pip install foolbox")
    # Files are named imagenet_<number>_<label>.jpg.
    paths = sorted(Path(spec.origin).parent.glob("data/imagenet_*_*.jpg"))
    return [LabeledImage(path, path.stem, int(path.stem.rsplit("_", 1)[1])) for path in paths]
