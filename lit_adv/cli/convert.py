"""``lit-adv convert``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lit_adv.errors import MendableError
from lit_adv.models.convert import convert as convert_weights
from lit_adv.models.slim import NETWORKS
from lit_adv.models.slim.names import AUXILIARY
from lit_adv.shards.publish import create_exclusive, prepare_folder

_SUFFIX = ".safetensors"


def convert(arguments: Sequence[str], prog: str = "lit-adv convert") -> None:
    """Convert a checkpoint, and say how to name the result.

    Raises:
        MendableError: If the result has another suffix, or is there already.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Turn a TensorFlow checkpoint of one of slim's networks, or a .npy file of one, into a safetensors "
        "file that slim:NETWORK@FILE loads faster, and other programs too.",
    )
    parser.add_argument("file", help="the checkpoint: a file of version 1, the prefix of version 2, or a .npy file")
    parser.add_argument("out", help=f"the new file, whose name ends in {_SUFFIX}")
    parser.add_argument(
        "--as", choices=NETWORKS, dest="network", help="the network (default: the one that the layers' names tell)"
    )
    options = parser.parse_args(arguments)
    out = Path(options.out)
    if out.suffix != _SUFFIX:
        raise MendableError(f"{out} must end in {_SUFFIX}, by which such files are told")
    _refuse(out)
    made = convert_weights(options.file, options.network)
    prepare_folder(str(out.parent))
    try:
        create_exclusive(str(out), made.content)
    except FileExistsError:
        _refuse(out)
        raise
    head = ", with its auxiliary head" if getattr(made.classifier.network, AUXILIARY, None) is not None else ""
    print(f"slim:{made.network}@{out} is ready{head}")


def _refuse(out: Path) -> None:
    """Make sure that nothing is overwritten."""
    if out.exists():
        raise MendableError(f"{out} is there already: name another file, or remove it")
