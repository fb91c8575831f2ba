"""ComDefend against the authors' script, written out in NumPy, and on photographs."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn

from lit_adv.defenses import ComDefend
from lit_adv.defenses.comdefend import DECODER_FILE, ENCODER_FILE
from lit_adv.defenses.npy_weights import load_array_list
from lit_adv.randomness import keyed_normal

Array = NDArray[np.float64]


@cache
def arrays_of(weights: Path) -> list[Array]:
    return [array.astype(np.float64) for array in load_array_list(weights)]


def convolutions(maps: Array, weights: Path) -> Array:
    """Run nine convolutions on maps [H, W, C] with kernels as they lie in the file: [3, 3, in, out]."""
    arrays = arrays_of(weights)
    height, width, _ = maps.shape
    for layer in range(9):
        kernel, bias = arrays[2 * layer : 2 * layer + 2]
        padded = np.pad(maps, ((1, 1), (1, 1), (0, 0)))
        maps = bias + sum(
            padded[dy : dy + height, dx : dx + width] @ kernel[dy, dx] for dy in range(3) for dx in range(3)
        )
        if layer < 8:
            maps = np.where(maps > 0, maps, np.expm1(np.minimum(maps, 0)))
    return maps


def patch_by_patch(image: Array, noise: Array, weights: Path) -> Array:
    """Compress and rebuild an image [H, W, 3] of sides that 32 divides, as the authors' script does."""
    bgr = image[..., ::-1]
    result = np.empty_like(bgr)
    for top in range(0, image.shape[0], 32):
        for left in range(0, image.shape[1], 32):
            patch = slice(top, top + 32), slice(left, left + 32)
            noisy_code = convolutions(bgr[patch] - 0.5, weights / ENCODER_FILE) - noise[patch]
            bits = (expit(noisy_code) > 0.5).astype(np.float64)
            rebuilt = expit(convolutions(bits, weights / DECODER_FILE))
            result[patch] = (rebuilt * 255).astype(np.uint8) / 255
    return result[..., ::-1]


def noise_of(key: str, height: int, width: int) -> Array:
    return keyed_normal(0, "ComDefend", [key], 12, height, width)[0].permute(1, 2, 0).double().numpy()


@pytest.mark.parametrize(("height", "width"), [(32, 64), (40, 33)])
def test_it_equals_the_authors_script_patch_by_patch(comdefend_weights: Path, height: int, width: int) -> None:
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    defense = ComDefend(nn.Identity(), comdefend_weights).double()
    with torch.no_grad():
        purified = defense.purify(images, ["a", "b"])
    for image, key, result in zip(images.numpy(), "ab", purified.numpy(), strict=True):
        padded = np.pad(image.transpose(1, 2, 0), ((0, -height % 32), (0, -width % 32), (0, 0)), mode="edge")
        expected = patch_by_patch(padded, noise_of(key, *padded.shape[:2]), comdefend_weights)
        np.testing.assert_allclose(result.transpose(1, 2, 0), expected[:height, :width], atol=1e-12)


def test_rgb_only_swaps_the_channels(comdefend_weights: Path, images: Tensor, keys: list[str]) -> None:
    bgr, rgb = (ComDefend(nn.Identity(), comdefend_weights, order) for order in ("bgr", "rgb"))  # type: ignore[arg-type]
    with torch.no_grad():
        assert torch.equal(rgb.purify(images, keys), bgr.purify(images.flip(1), keys).flip(1))


def test_the_networks_have_the_published_numbers_of_parameters(comdefend_weights: Path) -> None:
    defense = ComDefend(nn.Identity(), comdefend_weights)
    assert sum(parameter.numel() for parameter in defense.encoder.parameters()) == 783_372
    assert sum(parameter.numel() for parameter in defense.decoder.parameters()) == 783_363


def test_missing_weights_are_named_with_their_source(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"github\.com/jiaxiaojunQAQ/Comdefend"):
        ComDefend(nn.Identity())
    with pytest.raises(FileNotFoundError, match=r"enc20_0\.0001\.npy does not exist.*github"):
        ComDefend(nn.Identity(), tmp_path)


def test_weights_of_another_network_are_refused(
    comdefend_weights: Path, tmp_path: Path, write_array_list: Callable[[Path, object], None]
) -> None:
    arrays = load_array_list(comdefend_weights / ENCODER_FILE)
    arrays[0] = arrays[0][..., :8]
    content = np.empty(18, dtype=object)
    content[:] = arrays
    write_array_list(tmp_path / ENCODER_FILE, content)
    with pytest.raises(ValueError, match=r"not ComDefend's: it has tensors of shapes \[\(8, 3, 3, 3\)"):
        ComDefend(nn.Identity(), tmp_path)


def test_unknown_orders_of_the_channels_are_refused(comdefend_weights: Path) -> None:
    with pytest.raises(ValueError, match="bgr, rgb"):
        ComDefend(nn.Identity(), comdefend_weights, channels="gbr")  # type: ignore[arg-type]


def psnr(images: Tensor, others: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each image, in dB."""
    return -10 * (images - others).square().mean((1, 2, 3)).log10()


def test_the_published_weights_rebuild_photographs(weights_folder: Path, real_images: tuple[Tensor, Tensor]) -> None:
    photographs, keys = real_images[0][:4, :, 48:176, 48:176], ["a", "b", "c", "d"]
    weights = weights_folder / "comdefend"
    with torch.no_grad():
        bgr = ComDefend(nn.Identity(), weights).purify(photographs, keys)
        rgb = ComDefend(nn.Identity(), weights, channels="rgb").purify(photographs, keys)
    first = photographs[0].permute(1, 2, 0).double().numpy()
    expected = patch_by_patch(first, noise_of("a", 128, 128), weights)
    assert np.isclose(bgr[0].permute(1, 2, 0), expected, atol=1e-6).mean() > 0.99
    assert psnr(photographs, bgr).mean() > 25
    assert psnr(photographs, rgb).mean() > psnr(photographs, bgr).mean()
