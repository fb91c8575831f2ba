"""What one process of a generation run has done so far, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from lit_adv.shards.skips import SkipCount


@dataclass(frozen=True)
class Tally:
    """One process's part in a run.

    Attributes:
        images: Adversarial images written.
        fooled: How many of them fool the surrogate.
        clean_correct: How many of them the surrogate classifies right when clean.
        clean_correct_fooled: How many of these fool it.
        unchanged: How many images equal their clean version.
        not_finite: How many of these stand in for an image with pixels that were no finite numbers.
        linf_sum: Sum over them of the largest change of a pixel, in grey levels.
        l2_sum: Sum over them of the change's Euclidean norm, pixels in [0, 1].
        shards_assigned: Shards that are this process's to make.
        shards_done: Shards published.
        skipped: The samples that were skipped, by what is wrong with them.
        failed: The input shards whose output could not be made, and why.
        samples_done: Samples written or skipped, of shards that have not failed.
        samples_known: Samples of the shards opened so far, those that failed aside.
        shards_known: How many shards these are.
        seconds: Time since the start.
        seconds_waiting: Of these, waiting for data.
        seconds_attacking: Of these, in the attack.
        seconds_blocked: Of these, waiting for the writing thread: for room in its queue, and at the end.
        seconds_writing: Time that the writing thread was busy; passes beside the others.
        memory_bytes: See :func:`lit_adv.memory.memory_in_use`.
        ended: Whether the process has written all that it had to.
    """

    images: int = 0
    fooled: int = 0
    clean_correct: int = 0
    clean_correct_fooled: int = 0
    unchanged: int = 0
    not_finite: int = 0
    linf_sum: float = 0.0
    l2_sum: float = 0.0
    shards_assigned: int = 0
    shards_done: int = 0
    skipped: dict[str, SkipCount] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    samples_done: int = 0
    samples_known: int = 0
    shards_known: int = 0
    seconds: float = 0.0
    seconds_waiting: float = 0.0
    seconds_attacking: float = 0.0
    seconds_blocked: float = 0.0
    seconds_writing: float = 0.0
    memory_bytes: int = 0
    ended: bool = False

    @property
    def seconds_left(self) -> float | None:
        """Estimate the time left, taking the shards to come for as large as those opened; None before the first."""
        if self.ended:
            return 0.0
        if not self.samples_done or not self.shards_known:
            return None
        samples = self.samples_known / self.shards_known * (self.shards_assigned - len(self.failed))
        return max(samples - self.samples_done, 0.0) * self.seconds / self.samples_done
