"""What must hold of shards before anything is trained on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from lit_adv.data.decoder import Decoder
from lit_adv.data.streams import CLEAN, SELF, CleanShard, open_in_step
from lit_adv.shards.attacked import AttackedFolder
from lit_adv.shards.decode import choose_image
from lit_adv.shards.grouping import IndexedSample
from lit_adv.shards.listing import shard_name
from lit_adv.shards.remote import redact
from lit_adv.shards.sidecar import Sidecar, Skipped, read_sidecars
from lit_adv.shards.skips import add_counts, count_skips, describe_skips
from lit_adv.shards.storage import staged
from lit_adv.shards.tar import SampleError, ShardError, index_samples, read_sample

_COUNTING_THREADS = 8


def complete_shares(shares: Mapping[str, float] | None, sets: Sequence[str], clean: bool) -> dict[str, float]:
    """Return the share that each source has of the images.

    Args:
        shares: What the user asks for, in any unit. A set that is not named has 1; adversaries made on the fly, if not
            named, have 0, or everything without any set.
        sets: Names of the adversarial sets.
        clean: Whether there are clean shards besides. Only if they are named do they have a share.

    Returns:
        Shares that sum to 1.

    Raises:
        ValueError: If a share is for an unknown source, negative or not finite, or if all but that of the clean shards
            are zero.
    """
    asked = {**dict.fromkeys(sets, 1.0), SELF: 0.0 if sets else 1.0}
    sources = [*asked, CLEAN] if sets and clean else [*asked]
    asked |= shares or {}
    if unknown := sorted(asked.keys() - set(sources)):
        needs = f" ({CLEAN!r} needs data.adversarial and data.clean)" if CLEAN in unknown else ""
        raise ValueError(f"data.shares names {unknown}, but the sources are {sources}{needs}; correct it")
    total = math.fsum(asked.values())
    if not math.isfinite(total) or total <= asked.get(CLEAN, 0.0) or min(asked.values()) < 0:
        raise ValueError(
            f"data.shares must hold numbers of at least 0, at least one besides {CLEAN!r} above 0, not {asked}"
        )
    return {source: share / total for source, share in asked.items()}


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


def check_same_images(sets: Mapping[str, AttackedFolder]) -> None:
    """Make sure that adversarial sets in step are made from the same images.

    Every shard's sidecar tells which images were skipped, and how large the shard was that it was made from. Of the
    first shard, the keys are compared; more would mean to read all shards.

    Raises:
        ValueError: If a set lacks an image that another one has, or was made from other shards.
        DamagedShardsError: If the first shard's keys differ.
        OSError: If a sidecar or the first shard cannot be read.
    """
    if len(sets) < 2:
        return
    records = {name: _read_records(folder) for name, folder in sets.items()}
    (first_name, first), *others = sets.items()
    for name, folder in others:
        for shard, made in records[name].items():
            expected = records[first_name][shard]
            if different := sorted({s.key for s in made.skipped} ^ {s.key for s in expected.skipped}):
                what = f"one has {different[0]!r} and the other has not"
            elif made.source_bytes != expected.source_bytes:
                what = f"made from shards of {expected.source_bytes} and {made.source_bytes} bytes"
            else:
                continue
            raise ValueError(_out_of_step(first_name, first, name, folder, shard, what))
    for shard in [*first.shards][:1]:
        for file in open_in_step(sets, shard).values():
            file.close()


def _read_records(folder: AttackedFolder) -> dict[str, Sidecar]:
    sidecars = read_sidecars(folder.path, [shard_name(shard) for shard in folder.shards])
    return {sidecar.shard: sidecar for sidecar in sidecars}


def _out_of_step(
    first_name: str, first: AttackedFolder, name: str, folder: AttackedFolder, shard: str, what: str
) -> str:
    return (
        f"{first_name!r} in {redact(first.path)} and {name!r} in {redact(folder.path)} are not made from the same "
        f"images ({shard}: {what}); generate both from the same shards, or leave one out of data.adversarial"
    )


def count_clean(shards: Sequence[str], decoder: Decoder) -> dict[str, CleanShard]:
    """Count the samples of clean shards, and find those without a label in range, or without one image.

    Images are not read, so those that cannot be decoded are found later; but a remote shard is copied as a whole.

    Args:
        shards: Their URLs.
        decoder: Knows where labels and images are, and which labels there are.

    Returns:
        What each shard holds, by its URL.

    Raises:
        OSError: If a shard cannot be read.
        ValueError: If a shard is damaged, or no sample of any can be used; the message names the reason and the remedy.
    """
    with ThreadPoolExecutor(_COUNTING_THREADS) as pool:
        counted = dict(zip(shards, pool.map(partial(_count, decoder=decoder), shards), strict=True))
    if all(shard.samples == len(shard.left_out) for shard in counted.values()):
        reasons = describe_skips(add_counts(shard.skipped for shard in counted.values()))
        raise ValueError(
            "not one sample of data.clean can be used; correct the shards, data.label_field, data.image_field or "
            "data.num_classes:\n  " + "\n  ".join(reasons or ["the shards hold no samples"])
        )
    return counted


def _count(shard: str, decoder: Decoder) -> CleanShard:
    try:
        with staged(shard) as file:
            samples = index_samples(file, shard)
            skipped: dict[int, Skipped] = {}
            for number, (key, members) in enumerate(samples):
                texts = {name: member for name, member in members.items() if name in ("cls", "json")}
                try:
                    choose_image(members.keys(), decoder.image_field)
                    decoder.label(read_sample(file, IndexedSample(key, texts)))
                except SampleError as error:
                    skipped[number] = Skipped(key, str(error))
            return CleanShard(len(samples), frozenset(skipped), count_skips(skipped.values()))
    except ShardError as error:
        raise ValueError(f"{error}; correct the shard, or leave it out of data.clean") from error
