"""How far an evaluation is that has no results yet, in words."""

from __future__ import annotations

from lit_adv.cli.status import Status
from lit_adv.shards import storage
from lit_adv.shards.counts import COUNTS_FOLDER


def look(folder: str) -> Status:
    """Look at the folder of an evaluation that runs, or was stopped."""
    names = storage.list_names(storage.join(folder, COUNTS_FOLDER))
    files = sum(name.endswith(".json") for name in names)

    def page(refresh: float | None) -> bytes:
        raise ValueError("an evaluation has no page until all is counted; leave out --html")

    return Status(
        f"counts    {files} files are kept, each of an attack and a shard, or of a target's answers", False, page
    )
