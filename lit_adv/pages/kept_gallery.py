"""The gallery's pictures without reading shards for them: from what comes by anyway, and kept for the next time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lit_adv.pages.gallery import Choice, Pictures, draw, few_shards, rank, read_pictures, share_of
from lit_adv.shards import publish, storage
from lit_adv.shards.attacked import AttackedFolder
from lit_adv.shards.decode import Pixels

GALLERY_FILE = "gallery.json"
#: So that the file stays below :data:`lit_adv.shards.storage.MAX_SMALL_FILE`.
MOST_PICTURES = 2000
_PICTURE = "data:image/jpeg;base64,"


class PassingPictures:
    """Pictures of images that come by, as far as they may be chosen for the gallery.

    Args:
        folders: The folders of shards, by the attack's name.
        count: How many images the gallery is to have, over all attacks.

    """

    def __init__(self, folders: Mapping[str, AttackedFolder], count: int) -> None:
        self._folders = folders
        self._wanted = share_of(count, len(folders))
        self._few = {attack: few_shards(folder.shards) for attack, folder in folders.items()}
        self._best: dict[str, dict[str, tuple[bytes, Pictures]]] = {attack: {} for attack in folders}

    @property
    def pictures(self) -> dict[str, Pictures]:
        """Those of each attack's best candidates so far, by what :func:`keep_pictures` calls them."""
        return {name: pictures for best in self._best.values() for name, (_, pictures) in best.items()}

    def wants(self, attack: str, shard: str) -> bool:
        """Tell whether any image of a shard may be chosen."""
        return self._wanted > 0 and shard in self._few[attack]

    def see(self, attack: str, shard: str, keys: Sequence[str], clean: Pixels, adversarial: Pixels) -> None:
        """Take the pictures of those images that are among the best of their attack so far.

        Args:
            attack: The attack's name.
            shard: The shard's file name, one that is wanted.
            keys: The B samples' keys.
            clean: uint8 [B, H, W, 3].
            adversarial: uint8 [B, H, W, 3].
        """
        best = self._best[attack]
        for number, key in enumerate(keys):
            name, own = _name(self._folders[attack], shard, key), rank(shard, key)
            if len(best) == self._wanted:
                worst = max(best, key=lambda other: best[other][0])
                if own > best[worst][0]:
                    continue
                del best[worst]
            best[name] = own, draw(clean[number], adversarial[number])


def keep_pictures(
    chosen: Sequence[Choice],
    folders: Mapping[str, AttackedFolder],
    folder: str,
    seen: Mapping[str, Pictures] | None = None,
) -> list[Pictures]:
    """Return the pictures of the chosen images, read from their shards unless they are known, and keep just these.

    If none is chosen, no file of pictures stays.

    Args:
        chosen: The images of each shard one after the other.
        folders: The folders of shards, by the attack's name.
        folder: URL of the folder in which the pictures are kept.
        seen: Pictures that are known, see :class:`PassingPictures`.

    Raises:
        DamagedShardsError: If a shard or a sample cannot be read.
        OSError: If the pictures cannot be kept.
    """
    kept = _read(folder)
    known = {**kept, **(seen or {})}
    names = [_name(folders[part.attack], part.shard, part.keys[number]) for part, number in chosen]
    missing = [number for number, name in enumerate(names) if name not in known]
    made = read_pictures([chosen[number] for number in missing], folders)
    known |= {names[number]: pictures for number, pictures in zip(missing, made, strict=True)}
    pictures = {name: known[name] for name in names}
    if not names:
        publish.remove(storage.join(folder, GALLERY_FILE))
    elif pictures != kept:
        publish.replace(storage.join(folder, GALLERY_FILE), (json.dumps(pictures, indent=1) + "\n").encode())
    return [pictures[name] for name in names]


def _name(folder: AttackedFolder, shard: str, key: str) -> str:
    """Return what an image is called among the pictures: its shard's SHA-256 and its key."""
    return f"{folder.shards[shard].sha256}/{key}"


def _read(folder: str) -> dict[str, Pictures]:
    """Return what is kept, by the SHA-256 of the shard and the sample's key; nothing of what is damaged."""
    try:
        record = storage.read_json(storage.join(folder, GALLERY_FILE))
    except (FileNotFoundError, ValueError):
        return {}
    items = record.items() if isinstance(record, dict) else ()
    return {name: Pictures(*entry) for name, entry in items if _is_entry(entry)}


def _is_entry(value: Any) -> bool:
    return (
        isinstance(value, list)
        and [type(part) for part in value] == [str, str, str, int]
        and all(url.startswith(_PICTURE) for url in value[:3])
    )
