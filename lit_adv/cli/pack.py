"""``lit-adv pack``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import get_args

from lit_adv.packing import LabelSettings, collect, pack_images, refuse_inside
from lit_adv.packing.settings import Classes
from lit_adv.shards.remote import redact

_SHOWN = 3  # classes of either end


def pack(arguments: Sequence[str], prog: str = "lit-adv pack") -> None:
    """Pack a folder of images, and say which label is what, what is left out, and where the shards are."""
    options = vars(_parser(prog).parse_args(arguments))
    source, labels, destination = (options.pop(name) for name in ("source", "labels", "destination"))
    samples_per_shard, prefix = options.pop("samples_per_shard"), options.pop("prefix")
    if labels is None:
        refuse_inside(destination, source)
    collection = collect(source, labels, LabelSettings(**options))
    for line in [*_show(collection.classes), *(f"note: {note}" for note in collection.notes)]:
        print(line, flush=True)
    shards = pack_images(
        collection.images, destination, samples_per_shard, prefix or collection.name, collection.classes
    )
    print(f"{len(shards)} shards: {redact(shards[0])} ... {redact(shards[-1])}")


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Pack a folder of images into shards.")
    parser.add_argument("source", help="folder with one folder a class, or with the images that a CSV file names")
    parser.add_argument("destination", help="folder for the shards, local or remote")
    parser.add_argument(
        "--labels",
        metavar="CSV",
        help="CSV file with a header such as filename,label,targeted_label, or with two columns and none (default: "
        "labels.csv in SOURCE, if there are no class folders)",
    )
    parser.add_argument(
        "--classes",
        choices=get_args(Classes),
        help="imagenet: class folders named by WordNet ids get ImageNet's own indices, and labels lie in [0, 1000); "
        "nips2017: the CSV file of the NIPS 2017 competition, whose labels count from 1",
    )
    for role, meaning in {"image": "names", "label": "labels", "target": "targets of attacks"}.items():
        parser.add_argument(f"--{role}-column", metavar="NAME", help=f"the CSV file's column of {meaning}")
    parser.add_argument(
        "--label-offset", type=int, metavar="N", help="what is added to each label and target: -1 if they count from 1"
    )
    parser.add_argument(
        "--skip-other",
        action="store_true",
        help="leave out images that cannot be packed: of other formats, or beside the class folders",
    )
    parser.add_argument("--samples-per-shard", type=int, default=1000, help="images a shard (default: 1000)")
    parser.add_argument("--prefix", help="the shards' common name (default: the source folder's)")
    return parser


def _show(classes: Mapping[int, str]) -> list[str]:
    """Return the first and the last lines of the mapping from labels to class folders."""
    if not classes:
        return []
    lines = [f"  {label} {name}" for label, name in sorted(classes.items())]
    if len(lines) > 2 * _SHOWN:
        lines[_SHOWN:-_SHOWN] = ["  ..."]
    return [f"labels of {len(classes)} class folders:", *lines]
