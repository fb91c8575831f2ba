"""What is left in the folder of a shard that could not be made: why, for whoever looks at the job from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from lit_adv.shards import publish, storage
from lit_adv.shards.job import canonical_json
from lit_adv.shards.listing import FAILURE_PREFIX

_SUFFIX = ".json"


def is_failure(file_name: str) -> bool:
    """Tell whether a file's name is that of such a record."""
    return file_name.startswith(FAILURE_PREFIX) and file_name.endswith(_SUFFIX)


def record_failure(folder: str, name: str, reason: str) -> None:
    """Write down why shard ``name`` could not be made, in place of what was written down of an earlier try.

    Raises:
        OSError: If the record cannot be written.
    """
    publish.replace(_url(folder, name), canonical_json({"reason": reason}))


def read_failures(folder: str, names: Iterable[str]) -> dict[str, str]:
    """Return the reasons for which shards could not be made, by the shards' names.

    Args:
        folder: URL of the output folder.
        names: The shards to look for; those without a record are left out.

    Raises:
        OSError: If a record cannot be read.
    """
    present = storage.list_names(folder)
    failed = [name for name in names if f"{FAILURE_PREFIX}{name}{_SUFFIX}" in present]
    reasons = {}
    for name in failed:
        try:
            record = storage.read_json(_url(folder, name))
        except FileNotFoundError:  # another run has just made the shard
            continue
        except ValueError:
            record = None
        reason = record.get("reason") if isinstance(record, dict) else None
        reasons[name] = reason if isinstance(reason, str) else "its record is damaged"
    return reasons


def forget_failures(folder: str, present: Iterable[str]) -> None:
    """Remove all such records.

    Args:
        folder: URL of the output folder.
        present: The names in it.
    """
    for name in filter(is_failure, present):
        publish.remove(storage.join(folder, name))


def _url(folder: str, name: str) -> str:
    return storage.join(folder, f"{FAILURE_PREFIX}{name}{_SUFFIX}")
