"""The images that the tables are over: those that all targets classify correctly when they are clean."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lit_adv.callbacks.clean_report import CLEAN_FILE
from lit_adv.errors import MendableError
from lit_adv.shards import publish, scratch, storage
from lit_adv.shards.job import register_job
from lit_adv.shards.listing import list_shards, shard_name
from lit_adv.shards.storage import staged
from lit_adv.shards.tar import index_samples, read_sample
from lit_adv.shards.tar_writer import TarWriter

#: What was chosen, and by which rule.
RECORD = "selection.json"


def count_samples(shards: str | list[str]) -> int:
    """Return how many samples shards hold."""
    count = 0
    for shard in list_shards(shards):
        with staged(shard) as file:
            count += len(index_samples(file, shard))
    return count


def read_selection(folder: Path) -> dict[str, Any] | None:
    """Return the record of the images that were chosen, None before they were."""
    file = folder / RECORD
    return dict(storage.read_json(str(file))) if file.is_file() else None


def choose(shards: str | list[str], folder: Path, rule: str, most: int | None) -> dict[str, Any]:
    """Copy the samples that are to be attacked into shards of their own, byte for byte.

    Args:
        shards: All clean shards.
        folder: Where the answers to the clean images are, and where ``shards/`` and the record go.
        rule: ``correct`` for the images that every model of the answers classifies correctly; ``all``.
        most: Only the first so many of them; None for all.

    Returns:
        The record: ``rule``, ``images`` (how many were chosen), ``eligible`` (to how many the rule applies), ``of``
        (how many there were), ``models``, and the numbers of ``samples`` by shard.

    Raises:
        MendableError: If no image is left, or ``folder`` holds another choice.
    """
    urls = list_shards(shards)
    if rule == "correct":
        answers = json.loads((folder / CLEAN_FILE).read_text())
        keys = [(shard, key) for shard, key, label, said in answers["samples"] if all(p == label for p in said)]
        models, total = answers["models"], answers["images"]
    else:
        keys = [sample for url in urls for sample in _keys(url)]
        models, total = [], len(keys)
    chosen: dict[str, set[str]] = {}
    for shard, key in keys[:most]:
        chosen.setdefault(shard, set()).add(key)
    if not chosen:
        raise MendableError(
            f"not one of {total} images is classified correctly by all of {', '.join(models)}: are the labels the "
            "models' own? --selection all takes every image"
        )
    counts = {shard: len(of_shard) for shard, of_shard in sorted(chosen.items())}
    sizes = {shard_name(url): size for url, size in storage.file_sizes(urls).items()}
    record = {
        "rule": rule,
        "models": models,
        "images": sum(counts.values()),
        "eligible": len(keys),
        "of": total,
        "samples": counts,
        "sources": {name: size for name, size in sizes.items() if name in counts},
    }
    publish.prepare_folder(str(folder / "shards"))
    register_job(str(folder), record, RECORD)
    for url in urls:
        if (name := shard_name(url)) in chosen and not (folder / "shards" / f"{name}.tar").exists():
            _copy(url, chosen[name], folder / "shards" / f"{name}.tar")
    return record


def _keys(url: str) -> Iterator[tuple[str, str]]:
    with staged(url) as file:
        for sample in index_samples(file, url):
            yield shard_name(url), sample.key


def _copy(url: str, keys: set[str], destination: Path) -> None:
    with scratch.scratch_file(str(destination.parent), destination.name) as copy:
        with staged(url) as file, TarWriter(copy) as tar:
            for sample in index_samples(file, url):
                if sample.key in keys:
                    tar.write(sample.key, read_sample(file, sample))
        copy.flush()
        publish.publish(copy.name, str(destination))


def describe(record: Mapping[str, Any]) -> str:
    """Say which images were chosen."""
    count = f"{record['images']} of {record['of']} images"
    if record["rule"] == "all":
        return f"{count}, whether the models know them or not."
    which = "those" if record["images"] == record["eligible"] else f"the first of the {record['eligible']}"
    return f"{count}: {which} that {', '.join(record['models'])} all classify correctly when they are clean."
