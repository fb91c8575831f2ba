"""The page of a generation job: how far it is, how fast, and what went wrong."""

from __future__ import annotations

import json

from lit_adv.pages.charts import draw_lines
from lit_adv.pages.render import render
from lit_adv.shards.job_status import JobStatus, duration
from lit_adv.shards.remote import redact

_NAMED = 200  # missing shards
_UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))


def generation_page(status: JobStatus, refresh: float | None = None) -> bytes:
    """Return the page as an HTML file's content.

    Args:
        status: The job.
        refresh: The number of seconds after which the page loads itself again; None for never.
    """
    speeds = status.speeds
    ended = [shard.ended for shard in status.done if shard.ended is not None]
    speed_chart = share_chart = None
    if speeds:
        seconds, unit = next((unit for unit in _UNITS if speeds[-1].until >= 3 * unit[0]), _UNITS[-1])
        times, values = [speed.until / seconds for speed in speeds], [speed.images_per_second for speed in speeds]
        lines = {"images/s": (times, values)}
        speed_chart = draw_lines(lines, x_label=f"time ({unit})", y_label="images/s", percent=False, from_zero=True)
    if len(ended) > 1 and len(ended) == len(status.done):
        filled = [shard for shard in status.done if shard.images]
        shares = [100 * shard.fooled / shard.images for shard in filled]
        lines = {"fooled": (list(range(1, len(filled) + 1)), shares)}
        share_chart = draw_lines(
            lines, x_label="shards, in the order of their end", y_label="fooled (%)", whole_x=True, markers=True
        )
    return render(
        "generation",
        refresh=refresh,
        folder=redact(status.folder),
        status=status,
        totals=status.totals,
        speed_chart=speed_chart,
        share_chart=share_chart,
        left=None if status.seconds_left is None else duration(status.seconds_left),
        named=list(status.missing)[:_NAMED],
        configuration=json.dumps(status.config, indent=1, sort_keys=True),
    )
