"""``lit-adv unpack``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lit_adv.packing.unpack import CLEAN, IMAGES, TABLE
from lit_adv.packing.unpack import unpack as unpack_shards


def unpack(arguments: Sequence[str], prog: str = "lit-adv unpack") -> int:
    """Unpack shards, and say where the images are; return the exit status, 1 if samples were left out."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=f"Write the images of shards into FOLDER/{IMAGES} as PNG files of the same pixels, and their "
        f"labels into FOLDER/{TABLE} (filename,label, and targeted_label where there are targets).",
    )
    parser.add_argument("shards", help="a tar file, a brace pattern, a glob or a folder of shards, local or remote")
    parser.add_argument("folder", help="folder for the images; it must be empty, or not be there")
    parser.add_argument("--clean", action="store_true", help=f"write the clean images, too, into FOLDER/{CLEAN}")
    parser.add_argument("--class-folders", action="store_true", help="put images into one folder a class")
    parser.add_argument(
        "--label-field",
        default="cls",
        metavar="NAME",
        help="cls (the default) for the samples' cls files; any other name is a field of their json files",
    )
    options = parser.parse_args(arguments)
    made = unpack_shards(**vars(options))
    for reason in made.reasons:
        print(f"left out: {reason}")
    if made.left_out > len(made.reasons):
        print(f"left out: {made.left_out - len(made.reasons)} more")
    targets = f", {made.targets} with a target" if made.targets else ""
    print(f"{made.images} images in {options.folder}/{IMAGES}, labels in {options.folder}/{TABLE}{targets}")
    return 1 if made.left_out else 0
