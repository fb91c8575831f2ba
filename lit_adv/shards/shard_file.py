"""An output shard while it is being written: a temporary tar that is published whole or discarded."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import NamedTuple

import numpy as np

from lit_adv.shards import publish, scratch, storage
from lit_adv.shards.decode import Pixels
from lit_adv.shards.job import canonical_json
from lit_adv.shards.listing import file_name, shard_name
from lit_adv.shards.remote import redact
from lit_adv.shards.sidecar import Sidecar, Skipped, read_sidecars, sidecar_url, software_versions
from lit_adv.shards.tar_writer import TarWriter


class AdversarialSample(NamedTuple):
    """One image's record, stored as the sample's ``json``.

    Attributes:
        key: The sample's key.
        label: True class.
        prediction_clean: The surrogate's class for the clean image.
        prediction: The surrogate's class for the stored adversarial image.
        fooled: Whether the attack reached its aim.
        linf: Largest change of a pixel, in grey levels.
        l2: Euclidean norm of the change, pixels in [0, 1].
        target: The class the image was to be taken for; None if the attack was untargeted.
    """

    key: str
    label: int
    prediction_clean: int
    prediction: int
    fooled: bool
    linf: int
    l2: float
    target: int | None

    @property
    def clean_correct(self) -> bool:
        """Whether the surrogate classifies the clean image right."""
        return self.prediction_clean == self.label


class ShardCounts(NamedTuple):
    """What a shard's records add up to; see :class:`lit_adv.shards.sidecar.Sidecar`."""

    fooled: int
    clean_correct: int
    clean_correct_fooled: int
    unchanged: int

    @classmethod
    def of(cls, samples: Sequence[AdversarialSample]) -> ShardCounts:
        """Count some images."""
        return cls(
            fooled=sum(sample.fooled for sample in samples),
            clean_correct=sum(sample.clean_correct for sample in samples),
            clean_correct_fooled=sum(sample.clean_correct and sample.fooled for sample in samples),
            unchanged=sum(sample.linf == 0 for sample in samples),
        )


class ShardFile:
    """An output shard in the making.

    Args:
        folder: URL of the output folder.
        source: URL of the input shard.
        samples_expected: How many samples the input shard holds; also an attribute.
        source_bytes: Size of the input shard.

    Attributes:
        not_finite: Keys of the images so far that stand in for one with pixels that were no finite numbers.
    """

    def __init__(self, folder: str, source: str, samples_expected: int, source_bytes: int) -> None:
        self._folder = folder
        self._name = shard_name(source)
        self._source = file_name(source)
        self.samples_expected = samples_expected
        self._source_bytes = source_bytes
        self._scratch = ExitStack()
        self._file = self._scratch.enter_context(scratch.scratch_file(folder, self._name))
        self._tar = self._scratch.enter_context(TarWriter(self._file))
        self._pixels = hashlib.sha256()
        self._samples: list[AdversarialSample] = []
        self._skipped: list[Skipped] = []
        self.not_finite: list[str] = []
        self._attack_seconds = 0.0
        self._start = time.monotonic()

    def add(self, sample: AdversarialSample, pixels: Pixels, files: dict[str, bytes]) -> None:
        """Append a sample.

        Args:
            sample: Its record.
            pixels: Its adversarial image, uint8 [H, W, 3].
            files: Its image files' contents by extension.
        """
        record = {name: value for name, value in sample._asdict().items() if value is not None}
        record["source_shard"] = self._source
        files = files | {"cls": str(sample.label).encode(), "json": canonical_json(record)}
        self._tar.write(sample.key, files)
        update_digest(self._pixels, pixels)
        self._samples.append(sample)

    def note(self, skipped: Iterable[Skipped], attack_seconds: float, not_finite: Iterable[str] = ()) -> None:
        """Take down what else is known of the samples since the last note: those skipped, the time, failed images."""
        self._skipped += skipped
        self.not_finite += not_finite
        self._attack_seconds += attack_seconds

    @property
    def samples_done(self) -> int:
        """How many samples are written or skipped."""
        return len(self._samples) + len(self._skipped)

    @property
    def progress(self) -> str:
        """How far the shard has come, for a message."""
        return f"{self._name}.tar ({self.samples_done} of {self.samples_expected} samples)"

    def commit(self, fingerprint: str) -> Sidecar:
        """Publish the shard, then its sidecar.

        Args:
            fingerprint: Of the configuration that made the shard.

        Returns:
            The sidecar.

        Raises:
            RuntimeError: If a sample of the input shard is neither written nor skipped.
            FileExistsError: If other bytes were published under the shard's name, or a sidecar tells of others; then
                nothing is published, for that sidecar would prove what it is not of.
        """
        with self._scratch:
            if self.samples_done != self.samples_expected:
                raise RuntimeError(f"{self.progress} is incomplete and is not published")
            self._tar.close()
            self._file.flush()
            sidecar = self._sidecar(fingerprint)
            with suppress(FileNotFoundError):
                self._agree(sidecar)
            publish.publish(self._file.name, storage.join(self._folder, sidecar.shard))
        try:
            publish.create_exclusive(sidecar_url(self._folder, self._name), sidecar.to_json())
        except FileExistsError:
            self._agree(sidecar)
        return sidecar

    def discard(self) -> None:
        """Remove what was written."""
        with suppress(OSError):  # a full disk is the likely reason, and reported already
            self._scratch.close()

    def _sidecar(self, fingerprint: str) -> Sidecar:
        written, counts = len(self._samples), ShardCounts.of(self._samples)
        return Sidecar(
            shard=f"{self._name}.tar",
            source_shard=self._source,
            source_bytes=self._source_bytes,
            samples_expected=self.samples_expected,
            samples_written=written,
            skipped=self._skipped,
            linf_mean=sum(sample.linf for sample in self._samples) / max(written, 1),
            l2_mean=math.fsum(sample.l2 for sample in self._samples) / max(written, 1),
            tar_bytes=self._file.seek(0, 2),
            sha256=storage.sha256(self._file),
            pixels_sha256=self._pixels.hexdigest(),
            fingerprint=fingerprint,
            seconds_attack=round(self._attack_seconds, 3),
            seconds_total=round(time.monotonic() - self._start, 3),
            versions=software_versions(),
            not_finite=self.not_finite,
            **counts._asdict(),
        )

    def _agree(self, sidecar: Sidecar) -> None:
        """Accept the sidecar that is there if it is of the same shard, as a twin's is.

        Raises:
            FileNotFoundError: If there is none.
            FileExistsError: If it is of other bytes or settings.
        """
        [present] = read_sidecars(self._folder, [self._name])
        if (present.sha256, present.fingerprint) != (sidecar.sha256, sidecar.fingerprint):
            other = "bytes" if present.fingerprint == sidecar.fingerprint else "settings"
            raise FileExistsError(
                f"{redact(sidecar_url(self._folder, self._name))} tells of other {other} than those of {sidecar.shard} "
                "as it is made now; move this sidecar, and the tar if it is there, to another folder and run again"
            )


def update_digest(digest: hashlib._Hash, pixels: Pixels) -> None:
    """Add an image to a digest of pixels, plane by plane."""
    digest.update(np.ascontiguousarray(pixels.transpose(2, 0, 1)).data)
