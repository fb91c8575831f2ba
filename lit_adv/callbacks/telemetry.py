"""How a run is doing: the tallies of its processes, as metrics, as a table and as a list of failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from lit_adv.callbacks.tally import Tally
from lit_adv.shards.remote import redact


class Failure(NamedTuple):
    """An input shard whose output could not be made.

    Attributes:
        shard: Its URL, without credentials.
        reason: Why.
        rank: The process that tried.
    """

    shard: str
    reason: str
    rank: int


class Timed(Protocol):
    """What every run says of one of its processes; see :class:`lit_adv.callbacks.tally.Tally`."""

    @property
    def images(self) -> int:
        """How many images are done."""

    @property
    def seconds(self) -> float:
        """Time since the start."""

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the time left; None before there is one."""

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""


class Measure(NamedTuple):
    """Something that a tally says and that adds up over processes; without a heading it shows only if it is not 0."""

    name: str
    heading: str | None
    format: str
    of: Callable[[Any], float]

    def total(self, tallies: Sequence[Timed]) -> float:
        """Return the sum over some processes."""
        return sum(map(self.of, tallies))

    def show(self, tallies: Sequence[Timed]) -> str:
        """Return the sum over some processes as text."""
        return f"{self.total(tallies):{self.format}}"


def metrics(tallies: Sequence[Tally]) -> dict[str, float]:
    """Return what is worth logging of a generation run.

    Args:
        tallies: Of all processes, in the order of ranks.

    Returns:
        Totals over the run by name (``images``, ``shards_done``, ``shards_failed``, ``seconds_waiting``, ... as in the
        last line of :func:`table`; ``images_per_second``, ``seconds_left``, ``fooled_share``, ``clean_accuracy``,
        ``fooled_share_on_correct`` over the images that were right when clean, ``linf_mean`` in grey levels,
        ``l2_mean`` with pixels in [0, 1]), and each process's part by name and rank
        (``seconds_waiting/rank0``). What is not known yet is left out.
    """
    images = sum(tally.images for tally in tallies)
    totals: dict[str, float] = {}
    if images:
        correct = sum(tally.clean_correct for tally in tallies)
        totals["clean_accuracy"] = correct / images
        totals["fooled_share"] = sum(tally.fooled for tally in tallies) / images
        if correct:
            totals["fooled_share_on_correct"] = sum(tally.clean_correct_fooled for tally in tallies) / correct
        totals["linf_mean"] = sum(tally.linf_sum for tally in tallies) / images
        totals["l2_mean"] = sum(tally.l2_sum for tally in tallies) / images
    return pace(tallies, GENERATION) | totals


def pace(tallies: Sequence[Timed], measures: Sequence[Measure]) -> dict[str, float]:
    """Return how fast a run is, how long it has to go and what is measured: in all, and by name and rank."""
    left = [tally.seconds_left for tally in tallies]
    known = [seconds for seconds in left if seconds is not None]
    totals = {measure.name: measure.total(tallies) for measure in measures}
    totals["images_per_second"] = total_speed(tallies)
    if len(known) == len(left):
        totals["seconds_left"] = max(known)
    parts = {
        f"{measure.name}/rank{rank}": measure.of(tally) for measure in measures for rank, tally in enumerate(tallies)
    }
    speeds = {f"images_per_second/rank{rank}": speed for rank, speed in enumerate(rank_speeds(tallies))}
    time_left = {f"seconds_left/rank{rank}": seconds for rank, seconds in enumerate(left) if seconds is not None}
    return totals | parts | speeds | time_left


def total_speed(tallies: Sequence[Timed]) -> float:
    """Return the images a second of all processes together, from the start to the last image written."""
    return sum(tally.images for tally in tallies) / _longest(tallies)


def rank_speeds(tallies: Sequence[Timed]) -> list[float]:
    """Return the images a second of each process.

    One that has not ended is measured against the longest clock, so that one that hangs is seen to.
    """
    longest = _longest(tallies)
    return [tally.images / (max(tally.seconds, _INSTANT) if tally.ended else longest) for tally in tallies]


def failures(tallies: Sequence[Tally]) -> list[Failure]:
    """Return the shards that could not be made, of all processes."""
    return [
        Failure(redact(shard), redact(reason), rank)
        for rank, tally in enumerate(tallies)
        for shard, reason in tally.failed.items()
    ]


GENERATION = (
    Measure("images", "images", "d", lambda tally: tally.images),
    Measure("clean_correct", "correct", "d", lambda tally: tally.clean_correct),
    Measure("fooled", "fooled", "d", lambda tally: tally.fooled),
    Measure("unchanged", None, "d", lambda tally: tally.unchanged),
    Measure("not_finite", None, "d", lambda tally: tally.not_finite),
    Measure("shards_done", "shards", "d", lambda tally: tally.shards_done),
    Measure("shards_failed", "failed", "d", lambda tally: len(tally.failed)),
    Measure("seconds_waiting", "waiting", ".1f", lambda tally: tally.seconds_waiting),
    Measure("seconds_attacking", "attacking", ".1f", lambda tally: tally.seconds_attacking),
    Measure("seconds_blocked", "blocked", ".1f", lambda tally: tally.seconds_blocked),
    Measure("seconds_writing", "writing", ".1f", lambda tally: tally.seconds_writing),
    Measure("memory_gib", "GiB", ".2f", lambda tally: tally.memory_bytes / 2**30),
)
_INSTANT = 1e-9  # seconds; before the first image there is nothing to divide


def table(tallies: Sequence[Timed], measures: Sequence[Measure] = GENERATION) -> str:
    """Return what each process has done and where its time went (in seconds), one line each, and their sum."""
    shown = [measure for measure in measures if measure.heading or measure.total(tallies)]
    rows = [["", "images/s", *(measure.heading or measure.name.replace("_", " ") for measure in shown)]]
    for rank, (tally, speed) in enumerate(zip(tallies, rank_speeds(tallies), strict=True)):
        rows.append([f"rank {rank}", f"{speed:.2f}", *(measure.show([tally]) for measure in shown)])
    rows.append(["all", f"{total_speed(tallies):.2f}", *(measure.show(tallies) for measure in shown)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.rjust, row, widths)) for row in rows)


def _longest(tallies: Sequence[Timed]) -> float:
    return max(_INSTANT, *(tally.seconds for tally in tallies))
