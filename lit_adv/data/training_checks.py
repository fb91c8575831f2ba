"""What must hold of shards before anything is trained on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from lit_adv.data.attacked import AttackedFolder
from lit_adv.data.decode import Decoder, SampleError
from lit_adv.data.remote import redact
from lit_adv.data.shards import IMAGE_EXTENSIONS, shard_name
from lit_adv.data.sidecar import read_sidecars
from lit_adv.data.storage import staged
from lit_adv.data.streams import SELF
from lit_adv.data.tar import ShardError, index_samples, read_sample

_COUNTING_THREADS = 8


def complete_shares(shares: Mapping[str, float] | None, sets: Sequence[str]) -> dict[str, float]:
    """Return the probability of each source of adversarial images.

    Args:
        shares: What the user asks for, in any unit; None for equal shares of all sets and none of adversaries made on
            the fly. A source that is not named has no share.
        sets: Names of the adversarial sets.

    Returns:
        Probabilities that sum to 1. Without any set, all adversaries are made on the fly.

    Raises:
        ValueError: If a share is for an unknown source, negative or not finite, or if all are zero.
    """
    if shares is None:
        shares = dict.fromkeys(sets or [SELF], 1.0)
    sources = [*sets, SELF]
    if unknown := sorted(shares.keys() - set(sources)):
        raise ValueError(f"data.shares names {unknown}, but the sources are {sources}; correct it")
    total = math.fsum(shares.values())
    if not math.isfinite(total) or total <= 0 or min(shares.values()) < 0:
        raise ValueError(
            f"data.shares must hold numbers of at least 0, at least one of them above 0, not {dict(shares)}"
        )
    return {source: shares.get(source, 0.0) / total for source in sources}


def check_fit(folders: Mapping[str, AttackedFolder], image_size: int, num_classes: int) -> None:
    """Make sure that adversarial sets have the size and the classes that the model is trained for.

    Raises:
        ValueError: If one has not.
    """
    for name, folder in folders.items():
        made = folder.config["data"]
        if made["image_size"] != image_size:
            raise ValueError(
                f"the images of {name!r} in {redact(folder.path)} have a side of {made['image_size']} pixels, but "
                f"data.image_size is {image_size}; change that, or generate the set with --data.image_size {image_size}"
            )
        if made["num_classes"] != num_classes:
            raise ValueError(
                f"the labels of {name!r} in {redact(folder.path)} lie in [0, {made['num_classes']}), but "
                f"data.num_classes is {num_classes}; change that, or generate the set from images of these classes"
            )


def check_in_step(sets: Mapping[str, AttackedFolder]) -> None:
    """Make sure that adversarial sets have the same shards, with equally many samples.

    Raises:
        ValueError: If they have not.
    """
    if not sets:
        return
    (first_name, first), *others = sets.items()
    for name, folder in others:
        for shard in sorted(first.shards.keys() | folder.shards.keys()):
            counts = [f.shards[shard].samples if shard in f.shards else 0 for f in (first, folder)]
            if counts[0] != counts[1]:
                raise ValueError(
                    _out_of_step(first_name, first, name, folder, shard, f"{counts[0]} and {counts[1]} samples")
                )


def check_same_skipped(sets: Mapping[str, AttackedFolder]) -> None:
    """Make sure that no adversarial set lacks an image that another one has; reads every shard's sidecar.

    Raises:
        ValueError: If one does.
        OSError: If a sidecar cannot be read.
    """
    if len(sets) < 2:
        return
    skipped = {name: _skipped(folder) for name, folder in sets.items()}
    (first_name, first), *others = sets.items()
    for name, folder in others:
        for shard, keys in skipped[name].items():
            if different := sorted(keys ^ skipped[first_name][shard]):
                what = f"one has {different[0]!r} and the other has not"
                raise ValueError(_out_of_step(first_name, first, name, folder, shard, what))


def _skipped(folder: AttackedFolder) -> dict[str, set[str]]:
    sidecars = read_sidecars(folder.path, [shard_name(shard) for shard in folder.shards])
    return {sidecar.shard: {sample.key for sample in sidecar.skipped} for sidecar in sidecars}


def _out_of_step(
    first_name: str, first: AttackedFolder, name: str, folder: AttackedFolder, shard: str, what: str
) -> str:
    return (
        f"{first_name!r} in {redact(first.path)} and {name!r} in {redact(folder.path)} are not made from the same "
        f"images ({shard}: {what}); generate both from the same shards, or leave one out of data.adversarial"
    )


def count_clean(shards: Sequence[str], decoder: Decoder) -> dict[str, int]:
    """Count the samples of clean shards, and make sure that each has an image and a label in range.

    Images are not read, but a remote shard is copied as a whole.

    Args:
        shards: Their URLs.
        decoder: Knows where a label is, and which there are.

    Returns:
        How many samples each shard holds, by its URL.

    Raises:
        OSError: If a shard cannot be read.
        ValueError: If a shard is damaged or a sample cannot be used; the message names it and the remedy.
    """
    with ThreadPoolExecutor(_COUNTING_THREADS) as pool:
        return dict(zip(shards, pool.map(partial(_count, decoder=decoder), shards), strict=True))


def _count(shard: str, decoder: Decoder) -> int:
    try:
        with staged(shard) as file:
            samples = index_samples(file, shard)
            for sample in samples:
                if not sample.members.keys() & set(IMAGE_EXTENSIONS):
                    raise ShardError(shard, f"sample {sample.key!r} has no image ({', '.join(IMAGE_EXTENSIONS)})")
                labels = {extension: member for extension, member in sample.members.items() if extension == "cls"}
                try:
                    decoder.label(read_sample(file, sample._replace(members=labels)))
                except SampleError as error:
                    raise ShardError(shard, f"sample {sample.key!r}: {error}") from error
            return len(samples)
    except ShardError as error:
        raise ValueError(f"{error}; correct the shard, data.clean or data.num_classes") from error
