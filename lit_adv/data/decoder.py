"""From a raw sample to an image of the size the attack sees, and its label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from lit_adv.shards.decode import MAX_PIXELS, decode_image
from lit_adv.shards.labels import LabelReader
from lit_adv.shards.listing import is_image_extension
from lit_adv.shards.tar import SampleError

Interpolation = Literal["bicubic", "bilinear"]


class Sample(NamedTuple):
    """A decoded sample.

    Attributes:
        image: uint8 [3, H, W].
        label: Class index.
        target: The class the image is to be taken for, if the data names one.
    """

    image: Tensor
    label: int
    target: int | None


@dataclass(frozen=True, kw_only=True)
class Decoder(LabelReader):
    """Decodes samples. Images are resized to a shorter side of ``resize`` and cropped in the middle.

    An image whose sides both are ``image_size`` already, as in data sets made for a model, is left as it is: resizing
    and cropping it would blur it and cut its edges off.

    Attributes:
        image_size: Side of the square crop, in pixels.
        resize: Shorter side before cropping, in pixels.
        interpolation: How pixels are interpolated, with antialiasing.
        keep_size: Whether images of that very size are left as they are.
        num_classes: Labels lie in [0, num_classes).
        label_field: ``cls`` for the sample's ``cls`` file; any other name is a field of its ``json`` file.
        target_field: Field of the ``json`` file that holds the target class; None if there are no targets.
        image_field: Extension of the sample's image where there are several; None for the only one.

    Raises:
        ValueError: If the crop is larger than the resized image, or ``image_field`` is no extension of an image.
    """

    image_size: int = 224
    resize: int = 256
    interpolation: Interpolation = "bicubic"
    keep_size: bool = True
    image_field: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.image_size <= self.resize:
            raise ValueError(f"image_size must lie in [1, resize], got {self.image_size} and {self.resize}")
        field = self.image_field
        if field is not None and (field.startswith(".") or not is_image_extension(field)):
            raise ValueError(f"image_field must be an extension in lower case, such as png or left.jpg, got {field!r}")

    def __call__(self, files: Mapping[str, bytes]) -> Sample:
        """Decode a sample.

        Args:
            files: Its files' contents by extension.

        Raises:
            SampleError: If there is no image that can be decoded or more than one, or no label in range.
        """
        label, target = self.label(files), self.target(files)
        return Sample(self._fit(self.image(files)), label, target)

    def image(self, files: Mapping[str, bytes]) -> Image.Image:
        """Decode a sample's image alone, in its own size.

        Raises:
            SampleError: If there is no image that can be decoded, or more than one.
        """
        return decode_image(files, image_field=self.image_field)

    def _fit(self, image: Image.Image) -> Tensor:
        if self.keep_size and image.size == (self.image_size, self.image_size):
            return torch.as_tensor(functional.pil_to_tensor(image))
        shorter, longer = sorted(image.size)
        if longer / shorter * self.resize**2 > MAX_PIXELS:
            raise SampleError(f"an image of {image.width}x{image.height} is too narrow to resize")
        image = functional.resize(image, [self.resize], InterpolationMode(self.interpolation))
        image = functional.center_crop(image, [self.image_size])
        return torch.as_tensor(functional.pil_to_tensor(image))
