"""Going through a folder of images: what is one, what an operating system left there, and what else there is."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lit_adv.shards.listing import IMAGE_EXTENSIONS, is_image_name

#: Formats of images that a shard's reader does not take.
_OTHER_FORMATS = {
    "apng", "arw", "avif", "bmp", "cr2", "dib", "dng", "gif", "heic", "heif", "ico", "j2k", "jfif", "jls", "jp2",
    "jpc", "jpe", "jpf", "jpx", "jxl", "nef", "pbm", "pcx", "pfm", "pgm", "pnm", "ppm", "psd", "ras", "sgi", "svg",
    "tga", "tif", "tiff", "xbm",
}  # fmt: skip
_SYSTEM_FOLDERS = {
    "#recycle", "#snapshot", "$extend", "$recycle.bin", "@eadir", "@recently-snapshot", "@recycle", "@sharesnap",
    "@tmp", "__macosx", "__pycache__", "lost+found", "network trash folder", "system volume information",
    "temporary items",
}  # fmt: skip
# A class may be called so, too.
_DOUBTFUL_MARKS = ("@", "#", "$")
_DOUBTFUL_FOLDERS = {"recycled", "recycler"}
_SYSTEM_FILES = {"desktop.ini", "ehthumbs.db", "icon\r", "thumbs.db"}
_NAMED = 3  # examples in one message


@dataclass
class LeftOut:
    """What lies in a folder and is not packed.

    Attributes:
        system: Folders and files that an operating system or a storage box left.
        other_formats: Image files of formats that are not taken.
        stray_images: Images that lie where none has a class.
        not_images: How many other files there are by extension.
    """

    system: list[Path] = field(default_factory=list)
    other_formats: list[Path] = field(default_factory=list)
    stray_images: list[Path] = field(default_factory=list)
    not_images: Counter[str] = field(default_factory=Counter)

    def add_file(self, path: Path) -> None:
        """Take down a file that is no image in one of the formats that are taken."""
        if is_system_file(path.name):
            self.system.append(path)
        elif _extension(path) in _OTHER_FORMATS:
            self.other_formats.append(path)
        else:
            self.not_images[_extension(path) or "no extension"] += 1

    def add_folder(self, path: Path, around: frozenset[tuple[int, int]] = frozenset()) -> None:
        """Take down a folder whose name is a system's own.

        Args:
            path: The folder.
            around: The folders that it lies in, by device and inode.

        Raises:
            OSError: If a folder in it cannot be read.
            ValueError: If a class may have that name, too, and there are images in it: without it, they would be lost,
                and where names give the labels, those of all that follow would shift.
        """
        inside = LeftOut()
        if _is_doubtful(path.name) and (any(True for _ in walk(path, inside, around)) or inside.other_formats):
            raise ValueError(
                f"{path} holds images, but folders of such names are often a system's own; rename it if it is a class, "
                "else move it away, or name the images' labels in a CSV file with --labels"
            )
        self.system.append(path)

    def refuse_other_formats(self) -> None:
        """Make sure that no image is lost for its format.

        Raises:
            ValueError: If there are such images; the message counts them and names the remedies.
        """
        if self.other_formats:
            raise ValueError(
                f"{self._formats()}; convert them to one of {', '.join(IMAGE_EXTENSIONS)} (a jfif or jpe file need "
                "only be renamed to jpg), or leave them out with lit-adv pack --skip-other"
            )

    def refuse_stray_images(self) -> None:
        """Make sure that no image is lost for want of a class.

        Raises:
            ValueError: If there are such images; the message counts them and names the remedies.
        """
        if self.stray_images:
            raise ValueError(
                f"{self._stray()}; move them into one, name their labels in a CSV file with --labels, or leave them "
                "out with lit-adv pack --skip-other"
            )

    def notes(self) -> list[str]:
        """Return what is left out, a sentence each."""
        found: list[str] = []
        if self.system:
            found.append(f"left out {len(self.system)} files or folders of the system's own: {examples(self.system)}")
        if self.other_formats:
            found.append(f"left out {self._formats()}")
        if self.stray_images:
            found.append(f"left out {self._stray()}")
        if self.not_images:
            found.append(f"left out {self.not_images.total()} files that are no images ({_counts(self.not_images)})")
        return found

    def _formats(self) -> str:
        counts = Counter(map(_extension, self.other_formats))
        plural = f"{len(self.other_formats)} image files of formats that shards do not take"
        return f"{plural} ({_counts(counts)}), such as {self.other_formats[0]}"

    def _stray(self) -> str:
        return f"{len(self.stray_images)} images beside the class folders, such as {self.stray_images[0]}"


def walk(folder: Path, left_out: LeftOut, inside: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Yield the images in a folder and the folders in it, in the order of names; links are followed.

    Args:
        folder: The folder.
        left_out: Takes down everything else.
        inside: The folders that this one lies in, by device and inode.

    Raises:
        OSError: If a folder cannot be read or is a link to one that it lies in, or an image is not a plain file.
        ValueError: If it is unclear whether a folder with images is a system's own.
    """
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in inside:
        raise OSError(f"{folder} is a link to a folder that it lies in; remove it")
    for entry in entries(folder):
        path = folder / entry.name
        if entry.is_dir():
            if is_system_folder(entry.name):
                left_out.add_folder(path, inside | {identity})
            else:
                yield from walk(path, left_out, inside | {identity})
        elif is_image_name(entry.name) and not is_system_file(entry.name):
            if not entry.is_file():
                raise OSError(f"{path} is not a plain file, or a link to none; remove it")
            yield path
        else:
            left_out.add_file(path)


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what a folder holds, in the order of names."""
    with os.scandir(folder) as found:
        return sorted(found, key=lambda entry: entry.name)


def is_system_folder(name: str) -> bool:
    """Tell whether a folder's name is one that systems, storage boxes and tools give their own.

    What may be a class all the same is among them; :meth:`LeftOut.add_folder` looks into it.

    Example:
        >>> [is_system_folder(name) for name in ("__MACOSX", ".git", "@eaDir", "#recycle", "$RECYCLE.BIN", "cat")]
        [True, True, True, True, True, False]
    """
    return name.startswith(".") or name.lower() in _SYSTEM_FOLDERS or _is_doubtful(name)


def _is_doubtful(name: str) -> bool:
    """Tell whether a folder of this name may be a system's own or a class."""
    lower = name.lower()
    return lower in _DOUBTFUL_FOLDERS or (name.startswith(_DOUBTFUL_MARKS) and lower not in _SYSTEM_FOLDERS)


def is_system_file(name: str) -> bool:
    """Tell whether a file is hidden, such as ``._a.jpg`` beside ``a.jpg``, or one of a system's own."""
    return name.startswith(".") or name.lower() in _SYSTEM_FILES


def examples(items: Sequence[object]) -> str:
    """Return the first few of some things for a message.

    Example:
        >>> examples([1, 2, 3, 4])
        '1, 2, 3, ...'
    """
    return ", ".join(map(str, items[:_NAMED])) + (", ..." if len(items) > _NAMED else "")


def _extension(path: Path) -> str:
    return PurePosixPath(path.name).suffix.lower().removeprefix(".")


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
