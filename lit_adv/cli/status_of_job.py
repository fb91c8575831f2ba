"""How far a generation job is, in words."""

from __future__ import annotations

import time

from lit_adv.cli.status import Status
from lit_adv.shards.job_status import JobStatus, duration, read_status
from lit_adv.shards.skips import describe_skips
from lit_adv.shards.verify.report import printable


def look(folder: str) -> Status:
    """Look at a generation job's folder; see :func:`lit_adv.shards.job_status.read_status`."""
    status = read_status(folder)

    def page(refresh: float | None) -> bytes:
        from lit_adv.pages.generation import generation_page  # takes Matplotlib, which the text does not need

        return generation_page(status, refresh)

    return Status("\n".join(map(printable, _lines(status))), not status.missing, page)


def _lines(status: JobStatus) -> list[str]:
    totals = status.totals
    lines = [
        f"shards    {len(status.done)} of {status.shards} done, {len(status.failed)} failed, "
        f"{len(status.missing)} missing",
        f"images    {totals.images} adversarial, {totals.skipped} skipped",
    ]
    if totals.clean_accuracy is not None and totals.images:
        lines.append(f"clean     {totals.clean_accuracy:.1%} of them the surrogate classifies right when clean")
    if totals.images:
        lines.append(f"fooled    {totals.success_rate:.1%} of them fool the surrogate")
    if (speed := status.speed) is not None:
        lines.append(f"speed     {speed:.2f} images/s when it last worked")
    if status.missing and (left := status.seconds_left) is not None:
        lines.append(f"left      {duration(left)} at this speed")
    if status.done and (ended := status.done[-1].ended) is not None:
        lines.append(f"latest    {status.done[-1].name}, {duration(time.time() - ended)} ago")
    if status.failed and not status.missing:
        lines.append("left      none but what failed, which the same command tries again")
    lines += [f"failed    {line}" for line in describe_skips(status.failures)]
    return lines + [f"skipped   {line}" for line in describe_skips(status.skipped)]
