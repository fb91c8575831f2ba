"""From folders of images to shards: which images there are, which label each has, and the shards they make.

The images' bytes are stored untouched. What cannot be packed is refused or counted, never lost in silence.
"""

from lit_adv.packing.collect import Collection, collect, is_image_folder, pack, refuse_inside
from lit_adv.packing.keys import TARGET_FIELD, LabeledImage
from lit_adv.packing.record import PACK_FILE
from lit_adv.packing.settings import LabelSettings
from lit_adv.packing.write import pack_images

__all__ = [
    "PACK_FILE",
    "TARGET_FIELD",
    "Collection",
    "LabelSettings",
    "LabeledImage",
    "collect",
    "is_image_folder",
    "pack",
    "pack_images",
    "refuse_inside",
]
