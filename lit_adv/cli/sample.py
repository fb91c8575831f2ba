"""``lit-adv sample``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lit_adv.packing.sample import pack_foolbox_sample
from lit_adv.shards.remote import redact


def sample(arguments: Sequence[str], prog: str = "lit-adv sample") -> None:
    """Pack the sample, and say where it is."""
    parser = argparse.ArgumentParser(prog=prog, description="Pack 20 real, labeled ImageNet images into shards.")
    parser.add_argument("destination", help="folder for the shards")
    print(redact(pack_foolbox_sample(parser.parse_args(arguments).destination)))
