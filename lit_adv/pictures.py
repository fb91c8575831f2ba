"""Pictures of what an attack did."""

import json
from collections.abc import Iterator, Sequence
from functools import cache
from io import BytesIO
from itertools import islice
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from timm.data import ImageNetInfo
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image
from torchvision.utils import make_grid

from lit_adv.shards import storage
from lit_adv.shards.job import JOB_FILE
from lit_adv.shards.listing import list_shards
from lit_adv.shards.remote import redact
from lit_adv.shards.storage import staged
from lit_adv.shards.tar import index_samples, read_sample

_MARGIN, _HEADER, _FONT_SIZE = 4, 22, 13


def draw_examples(
    clean: Tensor, adversarial: Tensor, captions: Sequence[str], gain: float | None = None
) -> Image.Image:
    """Draw images side by side: clean, adversarial, and the amplified perturbation around mid-grey.

    Args:
        clean: uint8 [N, 3, H, W].
        adversarial: uint8 [N, 3, H, W].
        captions: N texts, drawn under the adversarial images.
        gain: Factor of the perturbation; by default the largest change becomes black or white.

    Returns:
        A picture of three rows.
    """
    change = adversarial.float() - clean.float()
    if gain is None:
        gain = 127 / max(float(change.abs().max()), 1)
    amplified = (127.5 + gain * change).clamp(0, 255).to(torch.uint8)
    rows = {"clean": clean, "adversarial": adversarial, f"perturbation x {gain:.2g}": amplified}
    strips = [_strip(images, title) for title, images in rows.items()]
    picture = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips) + _HEADER), "white")
    for i, strip in enumerate(strips):
        picture.paste(strip, (0, i * strip.height))
    draw, step = ImageDraw.Draw(picture), clean.shape[-1] + _MARGIN
    for i, caption in enumerate(captions):
        draw.text((_MARGIN + i * step, picture.height - _HEADER + 2), caption, "black", _font())
    return picture


def to_png(picture: Image.Image, source: str = "") -> bytes:
    """Return a PNG file's content; ``source`` is a text in it that tells what was drawn, see :func:`png_source`."""
    file, notes = BytesIO(), PngInfo()
    notes.add_text("Source", source)
    picture.save(file, "png", pnginfo=notes if source else None)
    return file.getvalue()


def png_source(content: bytes) -> str:
    """Return the text that :func:`to_png` has put into a file; nothing if there is none, or the file is damaged."""
    try:
        with Image.open(BytesIO(content), formats=["png"]) as picture:
            return str(picture.info.get("Source", ""))
    except (OSError, SyntaxError, ValueError):
        return ""


def draw_shards(shards: str, output: str = "examples.png", count: int = 6) -> None:
    """Draw the first images of adversarial shards beside their clean originals.

    Classes have ImageNet's names where the record beside the shards says that there are as many, else their numbers.

    Args:
        shards: A folder, a brace pattern or a glob of shards that hold clean images too.
        output: The PNG file to write.
        count: How many images to draw.

    Raises:
        ValueError: If the shards hold no images, or no clean ones beside them.
    """
    name = imagenet_name if _of_imagenet(list_shards(shards)) else str
    pairs = list(read_pairs(shards, count))
    clean, adversarial, records = zip(*pairs, strict=True)
    captions = [" -> ".join(name(record[field]) for field in ("label", "prediction")) for record in records]
    draw_examples(torch.stack(clean), torch.stack(adversarial), captions).save(output)


def read_pairs(shards: str, count: int) -> Iterator[tuple[Tensor, Tensor, dict[str, Any]]]:
    """Yield the first images of adversarial shards.

    Args:
        shards: A folder, a brace pattern or a glob of shards that hold clean images too.
        count: How many, at most.

    Yields:
        The clean image, uint8 [3, H, W], the adversarial one, and its record.

    Raises:
        ValueError: If the shards hold no images, or no clean ones beside them.
    """
    empty = True
    for files in islice(_read_samples(list_shards(shards)), count):
        empty = False
        extension = next((e for e in ("webp", "png") if f"clean.{e}" in files), None)
        if extension is None:
            raise ValueError(f"{redact(shards)} holds no clean images: make it with --output.clean_images true")
        yield _decode(files[f"clean.{extension}"]), _decode(files[extension]), json.loads(files["json"])
    if empty:
        raise ValueError(f"{redact(shards)} holds no images; the sidecars (NAME.json) say why they were skipped")


def _read_samples(shards: Sequence[str]) -> Iterator[dict[str, bytes]]:
    for shard in shards:
        with staged(shard) as file:
            for sample in index_samples(file, shard):
                yield read_sample(file, sample)


def _decode(content: bytes) -> Tensor:
    return torch.as_tensor(pil_to_tensor(Image.open(BytesIO(content)).convert("RGB")))


def _of_imagenet(shards: Sequence[str]) -> bool:
    """Tell whether the jobs that made shards record as many classes as ImageNet-1k has."""
    records = {storage.join(storage.folder_of(shard), JOB_FILE) for shard in shards}
    return all(storage.exists(url) and _num_classes(storage.read_json(url)) == 1000 for url in sorted(records))


def _num_classes(record: Any) -> Any:
    try:
        return record["data"]["num_classes"]
    except (KeyError, TypeError):  # a file of this name, but none of ours
        return None


def imagenet_name(label: int) -> str:
    """Name a class of ImageNet-1k, a number in [0, 1000), in a word or two."""
    return str(_imagenet().index_to_description(label)).split(",")[0]


@cache
def _imagenet() -> ImageNetInfo:
    return ImageNetInfo()


def _strip(images: Tensor, title: str) -> Image.Image:
    row = to_pil_image(make_grid(images, nrow=len(images), padding=_MARGIN, pad_value=255))
    strip = Image.new("RGB", (row.width, row.height + _HEADER), "white")
    strip.paste(row, (0, _HEADER))
    ImageDraw.Draw(strip).text((_MARGIN, 2), title, "black", _font())
    return strip


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_SIZE)
