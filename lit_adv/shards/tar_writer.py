"""Writing samples into a tar shard whose bytes depend on the samples alone."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from io import BytesIO
from types import TracebackType
from typing import IO, Self


class TarWriter:
    """A tar archive in the making; also a context that closes it.

    The archive is plain ustar; only a name that does not fit into it gets an extended header. (webdataset's writer
    makes the same bytes, but importing it means importing torch.)

    Args:
        file: Takes the archive.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._archive = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def write(self, key: str, files: Mapping[str, bytes]) -> None:
        """Append a sample.

        Args:
            key: The sample's key.
            files: Its files' contents by extension; they are written in the order of extensions.
        """
        for extension, content in sorted(files.items()):
            member = tarfile.TarInfo(f"{key}.{extension}")
            member.size, member.mode, member.mtime = len(content), 0o444, 0
            member.uname = member.gname = "lit_adv"
            self._archive.addfile(member, BytesIO(content))

    def close(self) -> None:
        """Write the end of the archive."""
        self._archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
