"""Writing images into shards."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from lit_adv.packing.keys import TARGET_FIELD, LabeledImage
from lit_adv.packing.record import PackRecord, Proof
from lit_adv.shards import publish, scratch, storage
from lit_adv.shards.job import canonical_json
from lit_adv.shards.remote import redact
from lit_adv.shards.tar import MAX_MEMBER_BYTES, MAX_MEMBERS
from lit_adv.shards.tar_writer import TarWriter

_MOST_SAMPLES = MAX_MEMBERS // 3  # of an image, its label and its target


def pack_images(
    images: Sequence[LabeledImage],
    destination: str,
    samples_per_shard: int,
    prefix: str,
    classes: Mapping[int, str] | None = None,
) -> list[str]:
    """Pack images into shards ``<prefix>-000000.tar``, ..., in the order given. Shards made before are kept.

    Args:
        images: The images.
        destination: Folder for the shards, local or remote.
        samples_per_shard: Images a shard.
        prefix: The shards' common name.
        classes: The names of the labels' classes, for the record ``pack.json``.

    Returns:
        The shards' URLs.

    Raises:
        ValueError: If a setting is out of range, or an image is too large.
        ConfigMismatchError: If ``destination`` holds shards of other images or settings.
        FileExistsError: If it holds a tar file under a shard's name that was not packed from these images.
    """
    _check_settings(samples_per_shard, prefix)
    settings = {**_describe(images), "prefix": prefix, "samples_per_shard": samples_per_shard}
    publish.prepare_folder(destination)
    scratch.remove_stale_scratch(destination)
    record = PackRecord(destination, settings, classes or {})
    parts = {
        f"{prefix}-{number:06d}.tar": images[start : start + samples_per_shard]
        for number, start in enumerate(range(0, len(images), samples_per_shard))
    }
    for name in _missing(destination, record, list(parts), prefix):
        record.add(name, _write_shard(parts[name], destination, name, record))
    return [storage.join(destination, name) for name in parts]


def _check_settings(samples_per_shard: int, prefix: str) -> None:
    if not 1 <= samples_per_shard <= _MOST_SAMPLES:
        raise ValueError(f"samples_per_shard must lie in [1, {_MOST_SAMPLES}], got {samples_per_shard}")
    if not prefix or prefix.startswith(".") or "/" in prefix:
        raise ValueError(f"the shards' prefix must be a plain name, without slashes and no dot first, got {prefix!r}")


def _describe(images: Sequence[LabeledImage]) -> dict[str, object]:
    """Return what tells these images from others; of the files themselves, their sizes."""
    contents = []
    for path, key, label, target in images:
        size = path.stat().st_size
        if size > MAX_MEMBER_BYTES:
            raise ValueError(f"{path} has {size} bytes; an image may have {MAX_MEMBER_BYTES}")
        contents.append([key, label, size] + ([] if target is None else [target]))
    return {"images": len(images), "images_sha256": hashlib.sha256(canonical_json(contents)).hexdigest()}


def _missing(destination: str, record: PackRecord, names: Sequence[str], prefix: str) -> list[str]:
    """Return the shards to make. First come those under whose names there is a file: it may be a stranger's."""
    present = storage.list_names(destination)
    own = re.compile(re.escape(prefix) + r"-\d{6}\.tar")
    if strange := sorted(name for name in present.difference(names) if own.fullmatch(name)):
        raise FileExistsError(_stranger(storage.join(destination, strange[0])))
    sizes = storage.file_sizes([storage.join(destination, name) for name in names if name in present])
    unproven, absent = [], []
    for name in names:
        size, proof = sizes.get(storage.join(destination, name)), record.get(name)
        if size is None:
            absent.append(name)
        elif proof is None:
            unproven.append(name)
        elif size != proof.bytes:
            raise FileExistsError(_stranger(storage.join(destination, name)))
    return unproven + absent


def _write_shard(images: Sequence[LabeledImage], destination: str, name: str, record: PackRecord) -> Proof:
    url = storage.join(destination, name)
    with scratch.scratch_file(destination, name) as file:
        with TarWriter(file) as tar:
            for image in images:
                tar.write(image.key, _files(image))
        file.flush()
        made = Proof(file.seek(0, 2), storage.sha256(file))
        record.check(name, made)
        try:
            publish.publish(file.name, url)
        except FileExistsError:
            raise FileExistsError(_stranger(url)) from None
    return made


def _files(image: LabeledImage) -> dict[str, bytes]:
    extension = image.path.suffix.lower().removeprefix(".")
    files = {extension: image.path.read_bytes(), "cls": str(image.label).encode()}
    return files if image.target is None else files | {"json": canonical_json({TARGET_FIELD: image.target})}


def _stranger(url: str) -> str:
    return f"{redact(url)} was not packed from these images; move it away, or pack into another folder"
