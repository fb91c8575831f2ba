"""From shards to batches, each of which holds images of one shard only.

What a batch holds depends on the shard and the batch size alone: not on workers, ranks or restarts. Gradients
depend on a batch's make-up in their last bits, so this is what makes output shards reproducible.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
import webdataset as wds
from torch.utils.data import get_worker_info

from lit_adv.data.batch import ImageBatch
from lit_adv.data.decoder import Decoder, Sample
from lit_adv.shards.grouping import IndexedSample
from lit_adv.shards.listing import is_image_extension
from lit_adv.shards.remote import StorageGoneError
from lit_adv.shards.sidecar import Skipped
from lit_adv.shards.storage import staged
from lit_adv.shards.tar import SampleError, ShardError, index_samples, read_sample


def read_batches(shards: Sequence[str], decoder: Decoder, batch_size: int) -> wds.DataPipeline:
    """Return the iterable over all batches of some shards.

    Args:
        shards: The shards this process is to read; data loader workers divide them among themselves.
        decoder: Decodes a sample.
        batch_size: Images a batch; a shard's last batch may be smaller, even empty.

    Returns:
        A pipeline of :class:`ImageBatch`, without a length.
    """
    return wds.DataPipeline(
        partial(iter, tuple(shards)),
        split_by_worker,
        partial(batch_shards, decoder=decoder, batch_size=batch_size),
    )


def split_by_worker(shards: Iterable[str]) -> Iterator[str]:
    """Yield the shards of this data loader worker.

    webdataset's function of that name also obeys environment variables as common as ``NUM_WORKERS``.
    """
    worker = get_worker_info()
    for number, shard in enumerate(shards):
        if worker is None or number % worker.num_workers == worker.id:
            yield shard


def batch_shards(shards: Iterable[str], decoder: Decoder, batch_size: int) -> Iterator[ImageBatch]:
    """Yield the batches of each shard in turn. A shard that cannot be used ends in a batch that says why.

    Raises:
        StorageGoneError: If no other shard could be read either.
    """
    for shard in shards:
        try:
            with staged(shard) as file:
                samples = index_samples(file, shard)
                contents = (read_sample(file, sample) for sample in samples)
                size = os.fstat(file.fileno()).st_size
                for batch in _batch(shard, samples, contents, decoder, batch_size):
                    yield replace(batch, shard_bytes=size)
        except ShardError as error:
            reason = error.reason
        except StorageGoneError:
            raise
        except OSError as error:
            reason = str(error)
        else:
            continue
        yield _collate([], decoder, shard=shard, shard_samples=0, last=True, skipped=[], error=reason)


def _batch(
    shard: str,
    samples: Sequence[IndexedSample],
    contents: Iterable[dict[str, bytes]],
    decoder: Decoder,
    batch_size: int,
) -> Iterator[ImageBatch]:
    if not samples:
        yield _collate([], decoder, shard=shard, shard_samples=0, last=True, skipped=[], error=None)
    seen: set[str] = set()
    usable: list[tuple[str, Sample]] = []
    skipped: list[Skipped] = []
    for number, ((key, _), files) in enumerate(zip(samples, contents, strict=True), start=1):
        try:
            if key in seen:
                raise SampleError(_again(files))
            seen.add(key)
            usable.append((key, decoder(files)))
        except SampleError as error:
            skipped.append(Skipped(key, str(error)))
        last = number == len(samples)
        if len(usable) == batch_size or last:
            yield _collate(
                usable, decoder, shard=shard, shard_samples=len(samples), last=last, skipped=skipped, error=None
            )
            usable, skipped = [], []


def _again(files: Mapping[str, bytes]) -> str:
    """Say what is wrong with a further sample of a key."""
    reason = "the shard has a sample of this key already"
    if "cls" in files and any(map(is_image_extension, files)):
        return reason
    return f"{reason}; if its files stand apart in the tar, write it in the order of names (tar --sort=name)"


def _collate(
    usable: Sequence[tuple[str, Sample]],
    decoder: Decoder,
    *,
    shard: str,
    shard_samples: int,
    last: bool,
    skipped: list[Skipped],
    error: str | None,
) -> ImageBatch:
    keys = [key for key, _ in usable]
    samples = [sample for _, sample in usable]
    images = [sample.image for sample in samples]
    targets = [sample.target for sample in samples if sample.target is not None]
    size = decoder.image_size
    return ImageBatch(
        images=torch.stack(images) if images else torch.empty((0, 3, size, size), dtype=torch.uint8),
        labels=torch.tensor([sample.label for sample in samples], dtype=torch.int64),
        keys=keys,
        shard=shard,
        shard_samples=shard_samples,
        last=last,
        skipped=skipped,
        targets=None if decoder.target_field is None else torch.tensor(targets, dtype=torch.int64),
        error=error,
    )
