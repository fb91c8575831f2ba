"""Which shards belong to a folder's job: those that its latest run has named.

The list has no part in a shard's bytes, so it may grow and shrink, while what is made stays made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lit_adv.shards import publish, storage
from lit_adv.shards.job import canonical_json
from lit_adv.shards.manifest import TOTALS_FILES

SHARDS_FILE = "_shards.json"


class Change(NamedTuple):
    """How a job's list of shards has changed.

    Attributes:
        added: Names of the shards that were not in it.
        left_out: Names of the shards that are in it no more.
    """

    added: list[str]
    left_out: list[str]


def record_shards(folder: str, names: Sequence[str], config: Mapping[str, Any]) -> Change | None:
    """Make a list the job's. Where that changes it, totals over the former list are removed first.

    Several processes may do so at the same moment; of different lists, the last one counts.

    Args:
        folder: URL of the output folder.
        names: Names of all shards of the job.
        config: The folder's record, see :func:`lit_adv.shards.job.register_job`.

    Returns:
        The change; None if there was no list that could be read.
    """
    try:
        former = set(read_shards(folder, config))
        change = Change(added=sorted(set(names) - former), left_out=sorted(former - set(names)))
    except (OSError, ValueError):
        change = None
    present = storage.list_names(folder)
    if change is None or any(change):
        for name in present & TOTALS_FILES:
            publish.remove(storage.join(folder, name))
    if change is None or any(change) or SHARDS_FILE not in present:
        publish.replace(storage.join(folder, SHARDS_FILE), canonical_json(sorted(set(names))))
    return change


def describe_change(change: Change | None) -> list[str]:
    """Return what to tell the user of a change, in a line for each kind."""
    lines = []
    if change is not None and change.added:
        lines.append(f"{len(change.added)} shards are new in the job, for example {change.added[0]}")
    if change is not None and change.left_out:
        lines.append(
            f"{len(change.left_out)} shards are left out of the job, for example {change.left_out[0]}; what is made of "
            "them stays here, but not in the manifest. A run's data.shards names all of the job's shards: to divide "
            "them, use data.job"
        )
    return lines


def read_shards(folder: str, config: Mapping[str, Any]) -> list[str]:
    """Return the names of a job's shards, sorted.

    Args:
        folder: URL of the output folder.
        config: The folder's record. Older versions kept the list there, as ``data.shards``.

    Raises:
        OSError: If there is no list, or it cannot be read.
        ValueError: If it is no list of names.
    """
    try:
        names = storage.read_json(storage.join(folder, SHARDS_FILE))
    except FileNotFoundError:
        data = config.get("data")
        if not isinstance(data, dict) or "shards" not in data:
            raise
        names = data["shards"]
    if not isinstance(names, list) or not all(isinstance(name, str) and "/" not in name for name in names):
        raise ValueError(f"{SHARDS_FILE} is no list of the names of shards")
    return sorted(set(names))
