"""The record beside each finished output shard. It is the only proof that the shard is done."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

from PIL import features

from lit_adv.shards import storage
from lit_adv.shards.job import canonical_json
from lit_adv.shards.remote import redact


class Skipped(NamedTuple):
    """A sample that could not be used, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class Sidecar:
    """What is known about a finished shard.

    Attributes:
        shard: File name of the output shard.
        source_shard: File name of the input shard.
        source_bytes: Size of the input shard, by which data of the same name is told apart.
        samples_expected: Samples of the input shard; always ``samples_written + len(skipped)``.
        samples_written: Samples of the output shard.
        skipped: The samples that could not be used, and why.
        fooled: How many images fooled the surrogate.
        linf_mean: Mean over the images of the largest change of a pixel, in grey levels.
        l2_mean: Mean over the images of the change's Euclidean norm, pixels in [0, 1].
        tar_bytes: Size of the output shard.
        sha256: Of the output shard.
        pixels_sha256: Of the adversarial pixels in order, whatever file format they are stored in.
        fingerprint: Of the configuration, see :func:`lit_adv.shards.job.digest`.
        seconds_attack: Time the attack took.
        seconds_total: Time from the shard's first batch to its end.
        versions: Of the software that had a part in the bytes.
        clean_correct: Images whose clean version the surrogate classified right. This and what follows are None where
            they were not counted, as in folders of earlier releases.
        clean_correct_fooled: How many of these images fooled it.
        unchanged: Images that equal their clean version.
        not_finite: Keys of those of them that stand in for an image with pixels that were no finite numbers.
    """

    shard: str
    source_shard: str
    source_bytes: int
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
    clean_correct: int | None = None
    clean_correct_fooled: int | None = None
    unchanged: int | None = None
    not_finite: list[str] | None = None

    def to_json(self) -> bytes:
        """Return the record as a JSON file's content."""
        skipped = [sample._asdict() for sample in self.skipped]
        return canonical_json({**asdict(self), "skipped": skipped})

    @classmethod
    def from_json(cls, content: bytes) -> Sidecar:
        """Return the record from a JSON file's content, which may be damaged or made to harm.

        Raises:
            ValueError: If it is not such a record; the message says what is wrong.
        """
        try:
            record = json.loads(content)
        except RecursionError as error:
            raise ValueError("its JSON is nested too deeply") from error
        kinds = {field.name: str(field.type) for field in fields(cls)}
        later = {field.name for field in fields(cls) if field.default is None}
        if not isinstance(record, dict) or record.keys() not in (kinds.keys(), kinds.keys() - later):
            raise ValueError(f"it must be a JSON object with exactly the fields {', '.join(kinds)}")
        for name, kind in ((name, kind) for name, kind in kinds.items() if name in record):
            if not _CHECKS[kind](record[name]):
                raise ValueError(f"its {name} is not of type {kind}: {str(record[name])[:40]!r}")
        return cls(**{**record, "skipped": [Skipped(**sample) for sample in record["skipped"]]})


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_measure(value: Any) -> bool:
    return (type(value) is float and math.isfinite(value)) or _is_count(value)


def _is_skipped(value: Any) -> bool:
    return type(value) is list and all(
        type(item) is dict and item.keys() == set(Skipped._fields) and _are_texts(item.values()) for item in value
    )


def _are_texts(values: Iterable[Any]) -> bool:
    return all(type(value) is str for value in values)


# By the fields' annotations.
_CHECKS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: type(value) is str,
    "int": _is_count,
    "float": _is_measure,
    "int | None": lambda value: value is None or _is_count(value),
    "list[Skipped]": _is_skipped,
    "list[str] | None": lambda value: value is None or (type(value) is list and _are_texts(value)),
    "dict[str, str]": lambda value: type(value) is dict and _are_texts(value.values()),
}


def sidecar_url(folder: str, name: str) -> str:
    """Return where the sidecar of shard ``name`` lies."""
    return storage.join(folder, f"{name}.json")


def finished(folder: str) -> set[str]:
    """Return the names of the finished shards in an output folder; none if there is no folder yet."""
    names = storage.list_names(folder)
    tars = {name.removesuffix(".tar") for name in names if name.endswith(".tar")}
    return {tar for tar in tars if f"{tar}.json" in names}


def read_sidecars(folder: str, names: Sequence[str]) -> list[Sidecar]:
    """Read the sidecars of some finished shards, in the order given.

    Raises:
        OSError: If one cannot be read.
        ValueError: If one is damaged; the message names it.
    """
    urls = [sidecar_url(folder, name) for name in names]
    sidecars: list[Sidecar] = []
    for url, content in zip(urls, storage.read_bytes(urls), strict=True):
        try:
            sidecars.append(Sidecar.from_json(content))
        except ValueError as error:
            raise ValueError(
                f"{redact(url)} is damaged ({error}); run lit-adv verify {redact(folder)} --repair"
            ) from error
    return sidecars


@cache
def software_versions() -> dict[str, str]:
    """Return the versions of the software that has a part in an output shard's bytes."""
    packages = ("torch", "torchvision", "lightning", "webdataset", "Pillow", "numpy")
    codecs = {name: features.version(name) or "absent" for name in ("libjpeg_turbo", "webp", "zlib")}
    return {package: version(package) for package in packages} | codecs
