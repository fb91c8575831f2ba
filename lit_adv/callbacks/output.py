"""Encoding and writing in the background, so that the device never waits for the disk."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lit_adv.callbacks.stopwatch import Stopwatch
from lit_adv.callbacks.tally import Tally
from lit_adv.data.batch import AdversarialBatch
from lit_adv.shards.distance import distance
from lit_adv.shards.encode import ImageFormat, encode_image
from lit_adv.shards.failures import record_failure
from lit_adv.shards.listing import shard_name
from lit_adv.shards.remote import redact
from lit_adv.shards.shard_file import AdversarialSample, ShardCounts, ShardFile
from lit_adv.shards.skips import SkipCount, count_skips

logger = logging.getLogger(__name__)

_NAMED = 5  # images in one message


class BudgetError(RuntimeError):
    """An adversarial image differs from its clean image by more than the perturbation budget."""


class ShardOutput:
    """Writes adversarial batches into output shards, each of which is published when its last batch is written.

    One thread writes, so batches are written in the order they come; batches of several shards may alternate.

    Args:
        folder: URL of the output folder.
        fingerprint: Of the configuration, for the sidecars.
        budget: Largest change of a pixel, in grey levels; None for any.
        image_format: File format of the images.
        clean_images: Whether to store the clean images, too.
        encode_threads: Threads that encode images.
        queue_batches: Batches that may wait to be written.
    """

    def __init__(
        self,
        folder: str,
        *,
        fingerprint: str,
        budget: int | None,
        image_format: ImageFormat = "png",
        clean_images: bool = True,
        encode_threads: int = 2,
        queue_batches: int = 4,
    ) -> None:
        self._folder = folder
        self._fingerprint = fingerprint
        self._budget = budget
        self._format: ImageFormat = image_format
        self._clean_images = clean_images
        self._queue_batches = queue_batches
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="shard-writer")
        self._encoders = ThreadPoolExecutor(encode_threads, thread_name_prefix="image-encoder")
        self._waiting: deque[Future[None]] = deque()
        self._open: dict[str, ShardFile] = {}
        self._failed: dict[str, str] = {}
        self._skipped: dict[str, SkipCount] = {}
        self._images = self._linf_sum = self._not_finite = 0
        self._counts = ShardCounts(0, 0, 0, 0)
        self._l2_sum = 0.0
        self._shards_done = self._samples_of_done = 0
        self._blocked, self._writing = Stopwatch(), Stopwatch()

    def put(self, batch: AdversarialBatch) -> None:
        """Hand over a batch; wait only if too many wait already.

        Raises:
            Exception: What went wrong with an earlier batch, such as a :class:`BudgetError`.
        """
        with self._blocked:
            while self._waiting and (self._waiting[0].done() or len(self._waiting) >= self._queue_batches):
                self._waiting.popleft().result()
        self._waiting.append(self._writer.submit(self._write, batch))

    def drain(self) -> None:
        """Wait until every batch is written.

        Raises:
            Exception: What went wrong with a batch.
        """
        with self._blocked:
            while self._waiting:
                self._waiting.popleft().result()

    def close(self) -> None:
        """Stop the threads and discard the shards that have not ended."""
        self._writer.shutdown(cancel_futures=True)
        self._encoders.shutdown()
        self._waiting.clear()
        while self._open:
            self._open.popitem()[1].discard()

    @property
    def tally(self) -> Tally:
        """What has been written so far, in numbers; complete after :meth:`drain`."""
        being_written = tuple(self._open.values())
        return Tally(
            images=self._images,
            **self._counts._asdict(),
            not_finite=self._not_finite,
            linf_sum=self._linf_sum,
            l2_sum=self._l2_sum,
            shards_done=self._shards_done,
            skipped=self._skipped,
            failed=dict(self._failed),
            samples_done=self._samples_of_done + sum(shard.samples_done for shard in being_written),
            samples_known=self._samples_of_done + sum(shard.samples_expected for shard in being_written),
            shards_known=self._shards_done + len(being_written),
            seconds_blocked=self._blocked.seconds,
            seconds_writing=self._writing.seconds,
        )

    @property
    def unfinished(self) -> list[str]:
        """The shards whose last batch has not come; complete after :meth:`drain`."""
        return [shard.progress for shard in self._open.values()]

    def _write(self, batch: AdversarialBatch) -> None:
        with self._writing:
            if batch.source.error is None:
                self._append(batch)
            else:
                self._fail(batch.source.shard, batch.source.error)

    def _fail(self, shard: str, reason: str) -> None:
        """Give up a shard, and say so; that is no reason to hold up the others."""
        self._failed[shard] = reason
        logger.warning("%s cannot be made, the others go on: %s", redact(shard), redact(reason))
        with suppress(OSError):  # it is told of anyway, here and at the end
            record_failure(self._folder, shard_name(shard), redact(reason))
        if shard in self._open:
            self._open.pop(shard).discard()

    def _append(self, batch: AdversarialBatch) -> None:
        source = batch.source
        samples = describe(batch)
        self._check_budget(source.shard, samples)
        if source.shard not in self._open:
            self._open[source.shard] = ShardFile(self._folder, source.shard, source.shard_samples, source.shard_bytes)
        shard = self._open[source.shard]
        for sample, pixels, files in zip(samples, to_pixels(batch.images), self._encode(batch), strict=True):
            shard.add(sample, pixels, files)
        shard.note(source.skipped, batch.seconds, batch.not_finite)
        self._count(samples)
        self._skipped = count_skips(source.skipped, self._skipped)
        self._not_finite += len(batch.not_finite)
        if source.last:
            del self._open[source.shard]
            try:
                shard.commit(self._fingerprint)
            except FileExistsError as error:  # other bytes are there already
                self._fail(source.shard, str(error))
            else:
                _warn_of_failed_images(source.shard, shard.not_finite)
                self._shards_done += 1
                self._samples_of_done += shard.samples_expected

    def _count(self, samples: list[AdversarialSample]) -> None:
        self._images += len(samples)
        self._counts = ShardCounts(*map(sum, zip(self._counts, ShardCounts.of(samples), strict=True)))
        self._linf_sum += sum(sample.linf for sample in samples)
        self._l2_sum += sum(sample.l2 for sample in samples)

    def _check_budget(self, shard: str, samples: list[AdversarialSample]) -> None:
        for sample in samples:
            if self._budget is not None and sample.linf > self._budget:
                raise BudgetError(
                    f"{redact(shard)}: image {sample.key!r} is changed by {sample.linf} grey levels, but the budget is "
                    f"{self._budget}; the shard is not published"
                )

    def _encode(self, batch: AdversarialBatch) -> Iterator[dict[str, bytes]]:
        """Yield each sample's image files by extension."""
        images = {str(self._format): to_pixels(batch.images)}
        if self._clean_images:
            images[f"clean.{self._format}"] = to_pixels(batch.source.images)
        encode = partial(encode_image, image_format=self._format)
        encoded = [self._encoders.map(encode, pixels) for pixels in images.values()]
        for contents in zip(*encoded, strict=True):
            yield dict(zip(images, contents, strict=True))


def _warn_of_failed_images(shard: str, keys: list[str]) -> None:
    if keys:
        more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
        logger.warning(
            "%s: the attack returned pixels that are no finite numbers for %d images, which are stored unchanged: %s%s",
            redact(shard),
            len(keys),
            ", ".join(keys[:_NAMED]),
            more,
        )


def to_pixels(images: Tensor) -> npt.NDArray[np.uint8]:
    """Return a view of images, uint8 [B, 3, H, W] on the CPU, as an array [B, H, W, 3]."""
    return images.permute(0, 2, 3, 1).numpy()


def describe(batch: AdversarialBatch) -> list[AdversarialSample]:
    """Return the records of a batch's images."""
    source = batch.source
    distances = map(distance, to_pixels(batch.images), to_pixels(source.images))
    return [
        AdversarialSample(
            key=key,
            label=int(source.labels[i]),
            prediction_clean=int(batch.predictions_clean[i]),
            prediction=int(batch.predictions[i]),
            fooled=bool(batch.fooled[i]),
            linf=linf,
            l2=round(l2, 6),
            target=None if batch.targets is None else int(batch.targets[i]),
        )
        for i, (key, (linf, l2)) in enumerate(zip(source.keys, distances, strict=True))
    ]
