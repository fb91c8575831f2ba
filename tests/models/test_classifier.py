"""Resizing to the size that a network's weights were made for."""

import pytest
import torch
import torch.nn.functional as F

from lit_adv.models.classifier import resize, resize_by_products


@pytest.mark.parametrize(("height", "width", "size"), [(31, 31, 20), (20, 27, 33), (24, 24, 24)])
def test_the_form_for_gpus_resizes_as_torch_does(height: int, width: int, size: int) -> None:
    images = torch.rand(2, 3, height, width, dtype=torch.float64, requires_grad=True)
    expected = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    weights = torch.rand_like(expected)
    (gradient,) = torch.autograd.grad((weights * expected).sum(), images)
    for form in (resize, resize_by_products):
        resized = form(images, size)
        torch.testing.assert_close(resized, expected, rtol=0, atol=1e-12)
        (found,) = torch.autograd.grad((weights * resized).sum(), images)
        torch.testing.assert_close(found, gradient, rtol=0, atol=1e-12)


def test_resizing_keeps_its_precision_under_autocast() -> None:
    images = torch.rand(2, 3, 31, 31)
    with torch.autocast("cpu", torch.bfloat16):
        resized = resize_by_products(images, 20)
    assert resized.dtype == torch.float32
    torch.testing.assert_close(resized, resize(images, 20), rtol=0, atol=1e-5)
