"""How far a generation job is, from its folder alone: from anywhere, and while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from lit_adv.shards import storage
from lit_adv.shards.failures import read_failures
from lit_adv.shards.job import JOB_FILE
from lit_adv.shards.job_shards import read_shards
from lit_adv.shards.manifest import Summary, total
from lit_adv.shards.remote import redact
from lit_adv.shards.sidecar import Skipped, finished, read_sidecars
from lit_adv.shards.skips import SkipCount, count_skips

_PARTS = 40  # of the time, in each of which the speed is taken
_LATELY = 8  # times what a shard takes; shards that are not done yet are missing at its end


class _Span(NamedTuple):
    """When a shard was made, in seconds since 1970, and its images, which are spread evenly over that time."""

    begin: float
    end: float
    images: int

    def images_since(self, begin: float, end: float = inf) -> float:
        """Return how many images came in a time."""
        within = min(end, self.end) - max(begin, self.begin)
        return self.images * max(within, 0.0) / max(self.end - self.begin, 1e-9)


class DoneShard(NamedTuple):
    """A finished shard.

    Attributes:
        name: Its name.
        images: Adversarial images in it.
        fooled: How many of them fool the surrogate.
        seconds: From its first batch to its end.
        ended: When it was published, in seconds since 1970 by the clock of the storage; None where that does not say.
    """

    name: str
    images: int
    fooled: int
    seconds: float
    ended: float | None


class Speed(NamedTuple):
    """Images a second in one part of the time.

    Attributes:
        until: Seconds from the job's first batch to the end of the part.
        images_per_second: Of all processes together.
    """

    until: float
    images_per_second: float


@dataclass(frozen=True)
class JobStatus:
    """A generation job as its folder shows it.

    Attributes:
        folder: Its URL.
        config: What makes it, as ``job.json`` records.
        done: The finished shards, by the time of their end.
        failed: The shards that could not be made when they were last tried, and why.
        missing: The names of the other shards that are not there.
        totals: Over the finished shards.
        skipped: Their skipped samples, by what is wrong with them.
        versions: Of the software that made them.
    """

    folder: str
    config: Mapping[str, Any]
    done: Sequence[DoneShard]
    failed: Mapping[str, str]
    missing: Sequence[str]
    totals: Summary
    skipped: Mapping[str, SkipCount]
    versions: Mapping[str, str]

    @property
    def shards(self) -> int:
        """How many shards the job has."""
        return len(self.done) + len(self.failed) + len(self.missing)

    @property
    def failures(self) -> dict[str, SkipCount]:
        """The shards that failed, by what was wrong."""
        return count_skips(Skipped(name, reason) for name, reason in self.failed.items())

    @property
    def speeds(self) -> list[Speed]:
        """The speed over time, pauses among it; nothing where it is not known when shards were done."""
        if not (spans := self._spans):
            return []
        start, end = min(span.begin for span in spans), max(span.end for span in spans)
        part = max(end - start, 1e-3) / _PARTS
        speeds = []
        for number in range(_PARTS):
            low = start + number * part
            images = sum(span.images_since(low, low + part) for span in spans)
            speeds.append(Speed((number + 1) * part, images / part))
        return speeds

    @property
    def speed(self) -> float | None:
        """Images a second of late, in the time in which any process worked; None if that is not known."""
        if not (spans := self._spans):
            return None
        latest = spans[-_LATELY:]
        wanted = _LATELY * sum(span.end - span.begin for span in latest) / len(latest)
        busy = 0.0
        for begin, end in reversed(_unite(spans)):
            since = max(begin, end - (wanted - busy))
            busy += end - since
            if busy >= wanted:
                break
        return sum(span.images_since(since) for span in spans) / max(busy, 1e-3)

    @property
    def _spans(self) -> list[_Span]:
        """When shards were made, by their end; nothing where that is not known, as in a copy that has new times."""
        spans = [_Span(shard.ended - shard.seconds, shard.ended, shard.images) for shard in self.done if shard.ended]
        at_once = len(spans) > 1 and spans[-1].end - spans[0].end < min(span.end - span.begin for span in spans)
        return [] if at_once else spans

    @property
    def seconds_left(self) -> float | None:
        """How long the missing shards take at this speed, if they are as large as those that are done; else None."""
        if not self.missing:
            return 0.0
        if not self.speed or not self.done:
            return None
        return len(self.missing) * self.totals.images / len(self.done) / self.speed


def read_status(folder: str) -> JobStatus:
    """Look at a generation job's folder.

    Args:
        folder: URL of the output folder, local or remote.

    Raises:
        OSError: If the folder is not that of a generation job, or cannot be read.
        ValueError: If what it records of itself is damaged.
    """
    config = storage.read_json(storage.join(folder, JOB_FILE))
    if not isinstance(config, dict):
        raise ValueError(f"{redact(storage.join(folder, JOB_FILE))} does not describe a generation job")
    shards = read_shards(folder, config)
    names = sorted(finished(folder).intersection(shards))
    sidecars = read_sidecars(folder, names)
    times = storage.file_times(folder)
    done = [
        DoneShard(name, sidecar.samples_written, sidecar.fooled, sidecar.seconds_total, times.get(f"{name}.json"))
        for name, sidecar in zip(names, sidecars, strict=True)
    ]
    left = [name for name in shards if name not in set(names)]
    failed = read_failures(folder, left)
    return JobStatus(
        folder=folder,
        config=config,
        done=sorted(done, key=lambda shard: (shard.ended or 0.0, shard.name)),
        failed=failed,
        missing=[name for name in left if name not in failed],
        totals=total(sidecars),
        skipped=count_skips(sample for sidecar in sidecars for sample in sidecar.skipped),
        versions={name: version for sidecar in sidecars for name, version in sidecar.versions.items()},
    )


def _unite(spans: Sequence[_Span]) -> list[tuple[float, float]]:
    """Return the times in which any of the shards was made, in order and apart."""
    united: list[tuple[float, float]] = []
    for begin, end, _ in sorted(spans):
        if united and begin <= united[-1][1]:
            united[-1] = united[-1][0], max(united[-1][1], end)
        else:
            united.append((begin, end))
    return united


def duration(seconds: float) -> str:
    """Return a time in the two largest units that it takes.

    Example:
        >>> duration(59.9), duration(3725), duration(200_000)
        ('59 s', '1 h 2 min', '2 d 7 h')
    """
    whole = max(int(seconds), 0)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((number for number, (value, _) in enumerate(parts) if value), len(parts) - 1)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2])
