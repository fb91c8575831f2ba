"""``lit-adv pack``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lit_adv.cli.arguments import at_least_one
from lit_adv.shards.pack import pack as pack_folder
from lit_adv.shards.remote import redact


def pack(arguments: Sequence[str], prog: str = "lit-adv pack") -> None:
    """Pack a folder of images, and say where the shards are."""
    parser = argparse.ArgumentParser(prog=prog, description="Pack a folder of images into shards.")
    parser.add_argument("source", help="folder with one folder a class, or with the images that --labels names")
    parser.add_argument("destination", help="folder for the shards, local or remote")
    parser.add_argument("--labels", help="CSV file with the columns file name and label; a header is optional")
    parser.add_argument("--samples-per-shard", type=at_least_one, default=1000, help="images a shard (default: 1000)")
    parser.add_argument("--prefix", help="the shards' common name (default: the source folder's)")
    shards = pack_folder(**vars(parser.parse_args(arguments)))
    print(f"{len(shards)} shards: {redact(shards[0])} ... {redact(shards[-1])}")
