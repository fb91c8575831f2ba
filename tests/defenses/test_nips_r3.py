"""The four views against SciPy, called image by image as the competition entry calls it."""

from io import BytesIO

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn

from lit_adv.defenses import NIPSR3, Member
from lit_adv.defenses.nips_r3 import distorted_view
from lit_adv.models import Classifier
from lit_adv.randomness import keyed_generator

Array = NDArray[np.float64]


def transcode(image: Array) -> Array:
    """Bring an image [H, W, 3] in [0, 1] through JPEG; the result is in units of 0 to 255."""
    file = BytesIO()
    Image.fromarray((image * 255).round().astype(np.uint8)).save(file, "JPEG", quality=50)
    return np.asarray(Image.open(file)).astype(np.float64)


def rotate_zoom_crop(image: Array, low: float, high: float, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    angle = int(rng.integers(2, 4)) * (-1 if rng.integers(2) == 0 else 1)
    rotated = ndimage.rotate(image, angle, reshape=True, order=3)
    zoomed = ndimage.zoom(rotated, (rng.uniform(low, high), rng.uniform(low, high), 1), order=3)
    y, x = (zoomed.shape[0] - shape[0]) // 2, (zoomed.shape[1] - shape[1]) // 2
    return zoomed[y : y + shape[0], x : x + shape[1]]


def expected_tcd(image: Array, rng: np.random.Generator) -> Array:
    return transcode(image) / 255


def expected_vgg(image: Array, rng: np.random.Generator) -> Array:
    crop = (round(image.shape[0] * 224 / 299), round(image.shape[1] * 224 / 299))
    return rotate_zoom_crop(transcode(image), 0.75, 0.80, crop, rng) / 255


def expected_inc(image: Array, rng: np.random.Generator) -> Array:
    noisy = np.clip(image * 2 - 1 + rng.standard_normal(image.shape) * 4 / 255, -1, 1)
    return (rotate_zoom_crop(noisy, 1.05, 1.10, image.shape[:2], rng) + 1) / 2


def expected_ens(image: Array, rng: np.random.Generator) -> Array:
    height, width, _ = image.shape

    def jitter(value: float) -> float:
        return value * (int(rng.integers(95, 106)) / 100)

    shear, theta = jitter(np.pi / 128), jitter(-np.pi / 128)
    tx, ty = int(jitter(0.02 * width)), int(jitter(0.02 * height))
    zx, zy = jitter(0.95), jitter(0.95)

    def about_center(matrix: Array) -> Array:
        there = np.array([[1, 0, height / 2 + 0.5], [0, 1, width / 2 + 0.5], [0, 0, 1]])
        return there @ matrix @ np.linalg.inv(there)

    sin, cos = np.sin(theta), np.cos(theta)
    steps = (
        about_center(np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])),
        np.array([[1.0, 0, tx], [0, 1, ty], [0, 0, 1]]),
        about_center(np.diag([zx, zy, 1])),
        about_center(np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])),
    )
    result = image * 2 - 1
    for step in steps:
        warped = [
            ndimage.affine_transform(result[..., c], step[:2, :2], step[:2, 2], order=0, mode="constant", cval=0.0)
            for c in range(3)
        ]
        result = np.stack(warped, axis=-1)
    return (result + 1) / 2


@pytest.mark.parametrize("shape", [(72, 60), (112, 112)])
@pytest.mark.parametrize(
    ("view", "expected"),
    [("tcd", expected_tcd), ("ens", expected_ens), ("inc", expected_inc), ("vgg", expected_vgg)],
)
def test_a_view_equals_the_entrys(view, expected, shape: tuple[int, int]) -> None:  # noqa: ANN001
    images = torch.randint(0, 256, (3, 3, *shape), generator=torch.Generator().manual_seed(4)) / 255
    keys = ["a", "b", "c"]
    views = distorted_view(view, images, keys, seed=11)
    assert views.dtype == torch.float32
    for image, key, result in zip(images.double().numpy(), keys, views.numpy(), strict=True):
        reference = expected(image.transpose(1, 2, 0), keyed_generator(11, f"NIPS-r3: {view}", key))
        np.testing.assert_allclose(result.transpose(1, 2, 0), reference, atol=1e-6)


def test_the_default_weighs_four_views_of_one_classifier(
    images: Tensor, keys: list[str], classifier: nn.Module
) -> None:
    weights = {"ens": 0.7, "inc": 0.2, "tcd": 0.2, "vgg": 0.15}
    expected = sum(
        weight * classifier(distorted_view(view, images, keys, seed=0))  # type: ignore[arg-type]
        for view, weight in weights.items()
    )
    torch.testing.assert_close(NIPSR3(classifier)(images, keys), expected)


def test_a_member_may_bring_its_own_classifier(images: Tensor, keys: list[str], classifier: nn.Module) -> None:
    other = nn.Sequential(nn.Flatten(), nn.Linear(3 * 40 * 40, 10))
    defense = NIPSR3(classifier, members=[Member("tcd", 0.5), Member("ens", 2.0, other)])
    tcd, ens = (distorted_view(view, images, keys, seed=0) for view in ("tcd", "ens"))  # type: ignore[arg-type]
    torch.testing.assert_close(defense(images, keys), 0.5 * classifier(tcd) + 2 * other(ens))
    assert {id(parameter) for parameter in other.parameters()} <= {id(p) for p in defense.parameters()}


def test_unknown_views_and_empty_ensembles_are_refused(classifier: nn.Module) -> None:
    with pytest.raises(ValueError, match="the views are tcd, ens, inc, vgg"):
        NIPSR3(classifier, members=[Member("blur", 1.0)])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one member"):
        NIPSR3(classifier, members=[])


def test_an_auxiliary_head_s_logits_count_08_times(
    images: Tensor, keys: list[str], classifier: nn.Module, two_headed: Classifier
) -> None:
    members = [Member("tcd", 0.5), Member("ens", 2.0, two_headed)]
    tcd, ens = (distorted_view(view, images, keys, seed=0) for view in ("tcd", "ens"))  # type: ignore[arg-type]
    expected = 0.5 * classifier(tcd) + 2 * classifier(ens) + 0.8 * 2 * (2 * classifier(ens))
    torch.testing.assert_close(NIPSR3(classifier, members)(images, keys), expected)
