"""What an evaluation has found, in words."""

from __future__ import annotations

from lit_adv.cli.status import Status
from lit_adv.shards import storage


def look(folder: str) -> Status:
    """Look at a finished evaluation's folder.

    Raises:
        OSError: If its table cannot be read.
    """

    def read(name: str) -> bytes:
        return storage.read_bytes([storage.join(folder, name)])[0]

    return Status(read("results.md").decode().rstrip("\n"), True, lambda refresh: read("results.html"))
