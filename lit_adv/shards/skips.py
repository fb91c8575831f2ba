"""Skipped samples, summed by what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lit_adv.shards.sidecar import Skipped, finished, read_sidecars

_KINDS = 20  # beyond these, whatever is wrong counts as one kind
_OTHER = "other reasons"
# What tells samples with the same fault apart: numbers, and what is quoted.
_PARTICULARS = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9]+")


class SkipCount(NamedTuple):
    """Skipped samples of one kind.

    Attributes:
        samples: How many.
        example: The first one's key.
        reason: Why that one was skipped.
    """

    samples: int
    example: str
    reason: str


def count_skips(skipped: Iterable[Skipped], counted: Mapping[str, SkipCount] | None = None) -> dict[str, SkipCount]:
    """Sum skipped samples by their reasons, in which numbers and what is quoted make no difference.

    Args:
        skipped: The samples.
        counted: Counts to go on from, which stay as they are.

    Returns:
        The counts by a text that each kind's reasons have in common.
    """
    counts = dict(counted or {})
    for key, reason in skipped:
        kind = _PARTICULARS.sub("#", reason)
        if kind not in counts and len(counts) >= _KINDS:
            kind = _OTHER
        first = counts.get(kind, SkipCount(0, key, reason))
        counts[kind] = first._replace(samples=first.samples + 1)
    return counts


def add_counts(several: Iterable[Mapping[str, SkipCount]]) -> dict[str, SkipCount]:
    """Add up counts, as of several processes; of each kind the first example stays."""
    total: dict[str, SkipCount] = {}
    for counts in several:
        for kind, count in counts.items():
            first = total.get(kind, count._replace(samples=0))
            total[kind] = first._replace(samples=first.samples + count.samples)
    return total


def describe_skips(counts: Mapping[str, SkipCount]) -> list[str]:
    """Return a line for each kind, the largest first.

    Example:
        >>> describe_skips(count_skips(Skipped(key, f"cls {key} is not in [0, 10)") for key in ("12", "17")))
        ["2 x cls 12 is not in [0, 10) (first '12')"]
    """
    ordered = sorted(counts.values(), key=lambda count: -count.samples)
    return [
        f"{count.samples} x {count.reason} ({'first ' * (count.samples > 1)}{count.example!r})" for count in ordered
    ]


def explain_no_images(folder: str) -> str:
    """Say why there is no image in any finished shard of an output folder."""
    sidecars = read_sidecars(folder, sorted(finished(folder)))
    skipped = [sample for sidecar in sidecars for sample in sidecar.skipped]
    if not skipped:
        return "the shards hold no samples"
    lines = describe_skips(count_skips(skipped))
    return f"all {len(skipped)} samples were skipped; mend the shards or the data settings\n  " + "\n  ".join(lines)
