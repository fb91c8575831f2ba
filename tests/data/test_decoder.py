"""From a sample to an image of the right size and its label."""

import json
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from lit_adv.data.decoder import Decoder
from lit_adv.shards.tar import SampleError
from tests import tiny_shards

DECODER = Decoder(image_size=8, resize=8, num_classes=1000)
RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(40, 30), (30, 40), (7, 9), (1, 1)])
def test_resizing_and_cropping_equal_torchvision(size: tuple[int, int], interpolation: str) -> None:
    content = tiny_shards.image_file(0, size)
    decoder = Decoder(image_size=16, resize=18, interpolation=interpolation)  # type: ignore[arg-type]
    transform = v2.Compose([v2.Resize(18, v2.InterpolationMode(interpolation)), v2.CenterCrop(16), v2.PILToTensor()])
    image, label, target = decoder({"jpg": content, "cls": b"7\n"})
    assert torch.equal(image, transform(Image.open(BytesIO(content)).convert("RGB")))
    assert (image.dtype, image.shape, label, target) == (torch.uint8, (3, 16, 16), 7, None)


def test_an_image_of_the_models_size_is_left_as_it_is_unless_chosen_otherwise() -> None:
    files = {"png": tiny_shards.image_file(0, (16, 16), "PNG"), "cls": b"0"}
    stored = torch.from_numpy(np.array(Image.open(BytesIO(files["png"])))).permute(2, 0, 1)
    kept, _, _ = Decoder(image_size=16, resize=18)(files)
    assert torch.equal(kept, stored)
    transform = v2.Compose([v2.Resize(18, v2.InterpolationMode.BICUBIC), v2.CenterCrop(16), v2.PILToTensor()])
    resized, _, _ = Decoder(image_size=16, resize=18, keep_size=False)(files)
    assert torch.equal(resized, transform(Image.open(BytesIO(files["png"]))))
    assert not torch.equal(resized, stored)


@pytest.mark.parametrize("size", [(16, 18), (18, 16), (17, 17)])
def test_an_image_of_nearly_that_size_is_resized(size: tuple[int, int]) -> None:
    files = {"png": tiny_shards.image_file(0, size, "PNG"), "cls": b"0"}
    images = [Decoder(image_size=16, resize=18, keep_size=keep)(files).image for keep in (True, False)]
    assert torch.equal(*images)


def test_grey_is_repeated() -> None:
    image, _, _ = DECODER({"png": tiny_shards.encode(Image.fromarray(RAMP)), "cls": b"0"})
    assert torch.equal(image, torch.from_numpy(RAMP).expand(3, 8, 8))


def test_a_line_that_would_become_huge_is_refused() -> None:
    with pytest.raises(SampleError, match="1x3000 is too narrow"):
        Decoder()({"png": tiny_shards.image_file(0, (1, 3000), "PNG"), "cls": b"0"})


def test_an_image_is_needed() -> None:
    with pytest.raises(SampleError, match="no image"):
        DECODER({"cls": b"1"})


def test_label_and_target_may_come_from_json() -> None:
    decoder = Decoder(image_size=8, resize=8, label_field="label", target_field="goal")
    record = json.dumps({"label": 5, "goal": "17"}).encode()
    _, label, target = decoder({"jpg": tiny_shards.image_file(), "json": record})
    assert (label, target) == (5, 17)


def test_a_crop_larger_than_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="image_size must lie in"):
        Decoder(image_size=300, resize=256)
