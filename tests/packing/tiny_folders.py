"""Tiny folders of images, and what a user types to pack them."""

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lit_adv.cli.main import run
from tests import tiny_shards


def make(folder: Path, *names: str) -> Path:
    """Write image files, each with other pixels, and return the folder."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tiny_shards.image_file(number))
    return folder


def pack(source: Path, out: Path, *arguments: str | Path) -> dict[str, int]:
    """Run ``lit-adv pack`` and return the samples' labels by key."""
    assert run(["pack", str(source), str(out), *map(str, arguments)]) == 0
    return labels(out)


def labels(out: Path) -> dict[str, int]:
    return {key: int(files["cls"]) for key, files in samples(out).items()}


def targets(out: Path) -> dict[str, Any]:
    """Return the json files of the samples that have one."""
    return {key: json.loads(files["json"]) for key, files in samples(out).items() if "json" in files}


def samples(out: Path) -> Mapping[str, dict[str, bytes]]:
    """Return the samples' files by key and extension."""
    found: dict[str, dict[str, bytes]] = {}
    for shard in sorted(out.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                file = tar.extractfile(member)
                assert file is not None
                found.setdefault(key, {})[extension] = file.read()
    return found
