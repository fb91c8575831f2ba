"""From class folders to labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lit_adv.packing.imagenet import CLASS_COUNT, imagenet_indices, is_wordnet_id
from lit_adv.packing.keys import Labeled
from lit_adv.packing.settings import LabelSettings
from lit_adv.packing.walk import LeftOut, entries, examples, is_system_file, is_system_folder, walk
from lit_adv.shards.listing import is_image_name

#: A folder of these names holds images without labels, or beside those that have some.
IMAGE_FOLDERS = frozenset(("images", "clean"))

_SPLITS = {
    "dev", "eval", "evaluation", "extra", "heldout", "holdout", "test", "testing", "train", "training", "trainval",
    "val", "valid", "validation",
}  # fmt: skip


class ClassFolders(NamedTuple):
    """Class folders and what is in them.

    Attributes:
        images: All images, class by class.
        classes: The folders' names by label.
        notes: What the user should know.
    """

    images: list[Labeled]
    classes: dict[int, str]
    notes: list[str]


def read_class_folders(folder: Path, settings: LabelSettings, left_out: LeftOut) -> ClassFolders:
    """Read a folder that holds one folder a class.

    Names that are numbers are the labels; else the order of names gives them, as in torchvision's ImageFolder, or
    ImageNet's own order if ``settings`` ask for it.

    Raises:
        FileNotFoundError: If there are no images, or a class has none.
        ValueError: If the folders are no classes, or it is unclear whether one is, or which label it stands for.
    """
    found = {name: list(walk(folder / name, left_out)) for name in class_names(folder)}
    for entry in entries(folder):
        path = folder / entry.name
        if entry.is_dir():
            if is_system_folder(entry.name):
                left_out.add_folder(path)
        elif is_image_name(entry.name) and not is_system_file(entry.name):
            left_out.stray_images.append(path)
        else:
            left_out.add_file(path)
    if not settings.skip_other:
        left_out.refuse_other_formats()
    if not any(found.values()):
        raise FileNotFoundError(_no_images(folder))
    _refuse_what_is_no_class(folder, found)
    if not settings.skip_other:
        left_out.refuse_stray_images()
    # Skipping such a folder would shift the labels of all that follow; so would counting one that is no class.
    if empty := [name for name, images in found.items() if not images]:
        raise FileNotFoundError(f"class folders of {folder} without images: {', '.join(empty)}; fill or remove them")
    labels = _labels(folder, list(found), settings)
    images = [Labeled(path, label) for name, label in labels.items() for path in found[name]]
    return ClassFolders(images, {label: name for name, label in labels.items()}, [*_notes(folder, found, settings)])


def class_names(folder: Path) -> list[str]:
    """Return the names of the folders in a folder that a system did not leave, in order."""
    return [entry.name for entry in entries(folder) if entry.is_dir() and not is_system_folder(entry.name)]


def _no_images(folder: Path) -> str:
    tables = [entry.name for entry in entries(folder) if entry.name.lower().endswith(".csv")]
    such = f", such as --labels {folder / tables[0]}" if tables else ""
    return f"no images in folders of {folder}; it must hold one folder a class, or give a CSV file with --labels{such}"


def _refuse_what_is_no_class(folder: Path, found: Mapping[str, Sequence[Path]]) -> None:
    names = [name for name, images in found.items() if images]
    if IMAGE_FOLDERS.issuperset(names):
        raise ValueError(
            f"{folder} holds no class folders, only {', '.join(names)}; give a CSV file of labels with --labels"
        )
    splits = [name for name in names if name.lower() in _SPLITS]
    deep = [name for name in names if _inner_folders(folder / name, found[name])]
    if splits == names or set(splits) & set(deep):
        raise ValueError(
            f"{folder} holds splits ({', '.join(splits)}), not classes; pack each into a folder of its own, such as "
            f"lit-adv pack {folder / splits[0]} OUT"
        )
    for name in deep:
        inner = _inner_folders(folder / name, found[name])
        if (is_wordnet_id(inner[0]) and not is_wordnet_id(name)) or (len(names) == 1 and len(inner) > 1):
            raise ValueError(
                f"the classes of {folder} seem to lie deeper, in {folder / name} ({examples(inner)}); "
                f"pack that: lit-adv pack {folder / name} OUT"
            )


def _inner_folders(folder: Path, images: Sequence[Path]) -> list[str]:
    """Return the names of the folders in a class folder that hold its images."""
    inner = {path.relative_to(folder).parts[0] for path in images if path.parent != folder}
    return sorted(inner - IMAGE_FOLDERS)


def _labels(folder: Path, names: Sequence[str], settings: LabelSettings) -> dict[str, int]:
    """Return the label of each class folder, in the order of labels."""
    if settings.classes == "nips2017":
        raise ValueError(
            f"--classes nips2017 reads labels from a CSV file; name it with --labels, or put it into {folder}"
        )
    if settings.classes == "imagenet" and not any(map(_is_number, names)):
        return _imagenet_labels(folder, names)
    numbers = [name for name in names if _is_number(name)]
    if numbers and len(numbers) < len(names):
        other = next(name for name in names if name not in numbers)
        raise ValueError(
            f"some class folders of {folder} are numbers ({examples(numbers)}) and some are not ({other}); rename them"
        )
    if not numbers and settings.label_offset is not None:
        raise ValueError(f"--label-offset is for class folders that are numbers, and those of {folder} are names")
    if not numbers:
        return {name: label for label, name in enumerate(names)}
    labels: dict[str, int] = {}
    for name in sorted(names, key=int):
        try:
            labels[name] = settings.shift(int(name))
        except ValueError as error:
            raise ValueError(f"the class folder {folder / name}: {error}") from None
    by_label = {label: name for name, label in labels.items()}
    if twice := [name for name, label in labels.items() if by_label[label] != name]:
        raise ValueError(f"two class folders of {folder} mean the label {labels[twice[0]]}; put their images into one")
    return labels


def _imagenet_labels(folder: Path, names: Sequence[str]) -> dict[str, int]:
    indices = imagenet_indices()
    if unknown := [name for name in names if name not in indices]:
        raise ValueError(
            f"{len(unknown)} class folders of {folder} are not named by WordNet ids of ImageNet's 1000 classes: "
            f"{examples(unknown)}"
        )
    return dict(sorted(((name, indices[name]) for name in names), key=lambda item: item[1]))


def _is_number(name: str) -> bool:
    return re.fullmatch("[0-9]{1,9}", name) is not None


def _notes(folder: Path, found: Mapping[str, Sequence[Path]], settings: LabelSettings) -> list[str]:
    names, notes = list(found), []
    if settings.classes is None and len(names) < CLASS_COUNT and all(map(is_wordnet_id, names)):
        notes.append(
            f"{len(names)} of ImageNet's class folders get the labels 0 to {len(names) - 1}; for ImageNet's own "
            "indices, which its models answer with, pack with --classes imagenet"
        )
    leading = [re.match("[0-9]{1,9}", name) for name in names]
    values = [int(match[0]) for match in leading if match]
    if len(values) == len(names) and not all(map(_is_number, names)) and values != sorted(values):
        notes.append("the names of the class folders begin with numbers, but their labels are their order as text")
    deep = {name: inner for name, images in found.items() if (inner := _inner_folders(folder / name, images))}
    if deep:
        name, inner = next(iter(deep.items()))
        notes.append(
            f"{len(deep)} class folders hold images in folders of their own, such as {name}/{inner[0]}; their class is "
            f"that of the outermost folder, {name}"
        )
    return notes
