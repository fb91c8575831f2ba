"""The record beside each finished output shard. It is the only proof that the shard is done."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version

from PIL import features

from lit_adv.data import storage
from lit_adv.data.batch import Skipped
from lit_adv.data.job import canonical_json


@dataclass(frozen=True)
class Sidecar:
    """What is known about a finished shard.

    Attributes:
        shard: File name of the output shard.
        source_shard: File name of the input shard.
        samples_expected: Samples of the input shard; always ``samples_written + len(skipped)``.
        samples_written: Samples of the output shard.
        skipped: The samples that could not be used, and why.
        fooled: How many images fooled the surrogate.
        linf_mean: Mean over the images of the largest change of a pixel, in grey levels.
        l2_mean: Mean over the images of the change's Euclidean norm, pixels in [0, 1].
        tar_bytes: Size of the output shard.
        sha256: Of the output shard.
        pixels_sha256: Of the adversarial pixels in order, whatever file format they are stored in.
        fingerprint: Of the configuration, see :func:`lit_adv.data.job.digest`.
        seconds_attack: Time the attack took.
        seconds_total: Time from the shard's first batch to its end.
        versions: Of the software that had a part in the bytes.
    """

    shard: str
    source_shard: str
    samples_expected: int
    samples_written: int
    skipped: list[Skipped]
    fooled: int
    linf_mean: float
    l2_mean: float
    tar_bytes: int
    sha256: str
    pixels_sha256: str
    fingerprint: str
    seconds_attack: float
    seconds_total: float
    versions: dict[str, str]

    def to_json(self) -> bytes:
        """Return the record as a JSON file's content."""
        skipped = [sample._asdict() for sample in self.skipped]
        return canonical_json({**asdict(self), "skipped": skipped})

    @classmethod
    def from_json(cls, content: bytes) -> Sidecar:
        """Return the record from a JSON file's content."""
        record = json.loads(content)
        return cls(**{**record, "skipped": [Skipped(**sample) for sample in record["skipped"]]})


def sidecar_url(folder: str, name: str) -> str:
    """Return where the sidecar of shard ``name`` lies."""
    return storage.join(folder, f"{name}.json")


def finished(folder: str) -> set[str]:
    """Return the names of the finished shards in an output folder; none if there is no folder yet."""
    names = storage.list_names(folder)
    tars = {name.removesuffix(".tar") for name in names if name.endswith(".tar")}
    return {tar for tar in tars if f"{tar}.json" in names}


def read_sidecars(folder: str, names: Iterable[str]) -> list[Sidecar]:
    """Read the sidecars of some finished shards, in the order given."""
    return [Sidecar.from_json(content) for content in storage.read_bytes([sidecar_url(folder, n) for n in names])]


@cache
def software_versions() -> dict[str, str]:
    """Return the versions of the software that has a part in an output shard's bytes."""
    packages = ("torch", "torchvision", "lightning", "webdataset", "Pillow", "numpy")
    codecs = {name: features.version(name) or "absent" for name in ("libjpeg_turbo", "webp", "zlib")}
    return {package: version(package) for package in packages} | codecs
