"""What stands when all shards do: the manifest, the index that timm reads, and the data set card.

They depend on the sidecars alone, so any process may write them again at any time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lit_adv.shards import publish, storage
from lit_adv.shards.card import CARD_FILE, data_set_card
from lit_adv.shards.failures import forget_failures
from lit_adv.shards.job import JOB_FILE, ConfigMismatchError, canonical_json, digest
from lit_adv.shards.listing import shard_name
from lit_adv.shards.remote import redact
from lit_adv.shards.sidecar import Sidecar, finished, read_sidecars

MANIFEST_FILE = "manifest.json"
TIMM_FILE = "_info.json"
TIMM_SPLIT = "adversarial"

#: What stands when all shards do.
TOTALS_FILES = frozenset({MANIFEST_FILE, TIMM_FILE, CARD_FILE})


@dataclass(frozen=True)
class Summary:
    """Totals over finished shards.

    Attributes:
        shards: Finished shards.
        images: Adversarial images.
        skipped: Input samples that could not be used.
        fooled: Images that fooled the surrogate.
        success_rate: ``fooled / images``; 0 without images.
        linf_mean: Mean largest change of a pixel, in grey levels.
        l2_mean: Mean Euclidean norm of the change, pixels in [0, 1].
        tar_bytes: Size of the shards.
        clean_correct: Images whose clean version the surrogate classified right. This and what follows are None where
            a shard of an earlier release is among them, and then not in the manifest.
        clean_accuracy: ``clean_correct / images``; 0 without images.
        clean_correct_fooled: How many of these images fooled it.
        success_on_correct: ``clean_correct_fooled / clean_correct``; 0 without such images.
        unchanged: Images that equal their clean version.
        not_finite: How many of them stand in for an image with pixels that were no finite numbers.
    """

    shards: int
    images: int
    skipped: int
    fooled: int
    success_rate: float
    linf_mean: float
    l2_mean: float
    tar_bytes: int
    clean_correct: int | None = None
    clean_accuracy: float | None = None
    clean_correct_fooled: int | None = None
    success_on_correct: float | None = None
    unchanged: int | None = None
    not_finite: int | None = None

    @property
    def known(self) -> dict[str, int | float]:
        """The totals by name, without what was not counted."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def summarize(folder: str) -> Summary:
    """Return the totals over the shards that are finished by now."""
    return total(read_sidecars(folder, sorted(finished(folder))))


def finalize(folder: str, shards: Sequence[str]) -> Summary | None:
    """Write the manifest and timm's index if every shard is finished.

    Args:
        folder: URL of the output folder.
        shards: URLs of all input shards.

    Returns:
        The totals, or None if shards are missing.

    Raises:
        ConfigMismatchError: If a shard was made with another configuration than the folder's.
    """
    names = sorted(map(shard_name, shards))
    if not finished(folder).issuperset(names):
        return None
    config = storage.read_json(storage.join(folder, JOB_FILE))
    sidecars = read_sidecars(folder, names)
    for sidecar in sidecars:
        if sidecar.fingerprint != digest(config):
            raise ConfigMismatchError(
                f"{sidecar.shard} in {redact(folder)} was made with other settings than {JOB_FILE} records; "
                "move it and its sidecar to another folder, and run again"
            )
    forget_failures(folder, storage.list_names(folder))
    for name, content in totals_files(config, sidecars).items():
        publish.replace(storage.join(folder, name), content)
    return total(sidecars)


def totals_files(config: dict[str, Any], sidecars: Sequence[Sidecar]) -> dict[str, bytes]:
    """Return the content of the files that stand when all shards do, by name.

    Args:
        config: The job's configuration.
        sidecars: Of all shards, in the order of names.
    """
    totals, shard = total(sidecars).known, sidecars[0].shard if sidecars else "*.tar"
    return {
        MANIFEST_FILE: canonical_json(_manifest(config, sidecars, totals)),
        TIMM_FILE: canonical_json(_timm_index(sidecars)),
        CARD_FILE: data_set_card(config, totals, shard).encode(),
    }


def total(sidecars: Sequence[Sidecar]) -> Summary:
    """Return the totals over some finished shards."""
    images = sum(sidecar.samples_written for sidecar in sidecars)
    fooled = sum(sidecar.fooled for sidecar in sidecars)

    def mean(sums: list[float]) -> float:
        return round(math.fsum(sums) / max(images, 1), 6)

    return Summary(
        shards=len(sidecars),
        images=images,
        skipped=sum(len(sidecar.skipped) for sidecar in sidecars),
        fooled=fooled,
        success_rate=mean([fooled]),
        linf_mean=mean([sidecar.linf_mean * sidecar.samples_written for sidecar in sidecars]),
        l2_mean=mean([sidecar.l2_mean * sidecar.samples_written for sidecar in sidecars]),
        tar_bytes=sum(sidecar.tar_bytes for sidecar in sidecars),
        **_total_of_later_counts(sidecars, images),
    )


def _total_of_later_counts(sidecars: Sequence[Sidecar], images: int) -> dict[str, Any]:
    """Return the totals that earlier releases did not count; nothing if one of the shards is of such a release."""

    def add_up(counts: Iterable[int | None]) -> int | None:
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(sidecars) else None

    correct = add_up(sidecar.clean_correct for sidecar in sidecars)
    fooled = add_up(sidecar.clean_correct_fooled for sidecar in sidecars)
    unchanged = add_up(sidecar.unchanged for sidecar in sidecars)
    not_finite = add_up(None if sidecar.not_finite is None else len(sidecar.not_finite) for sidecar in sidecars)
    if correct is None or fooled is None or unchanged is None or not_finite is None:
        return {}
    return {
        "clean_correct": correct,
        "clean_accuracy": round(correct / max(images, 1), 6),
        "clean_correct_fooled": fooled,
        "success_on_correct": round(fooled / max(correct, 1), 6),
        "unchanged": unchanged,
        "not_finite": not_finite,
    }


def _manifest(config: dict[str, Any], sidecars: Sequence[Sidecar], totals: dict[str, int | float]) -> dict[str, Any]:
    software = sorted({item for sidecar in sidecars for item in sidecar.versions.items()})
    return {
        "config": config,
        "fingerprint": digest(config),
        "versions": {name: [v for other, v in software if other == name] for name, _ in software},
        "totals": totals,
        "shards": [
            {
                "shard": sidecar.shard,
                "samples": sidecar.samples_written,
                "skipped": len(sidecar.skipped),
                "tar_bytes": sidecar.tar_bytes,
                "sha256": sidecar.sha256,
            }
            for sidecar in sidecars
        ],
    }


def _timm_index(sidecars: Sequence[Sidecar]) -> dict[str, Any]:
    filled = [sidecar for sidecar in sidecars if sidecar.samples_written]
    split = {
        "name": TIMM_SPLIT,
        "num_samples": sum(sidecar.samples_written for sidecar in filled),
        "filenames": [sidecar.shard for sidecar in filled],
        "shard_lengths": [sidecar.samples_written for sidecar in filled],
    }
    return {"splits": {TIMM_SPLIT: split}}
