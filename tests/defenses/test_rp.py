"""Random resizing and padding against a plain loop."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_adv.defenses import RandomResizePad
from lit_adv.defenses.rp import random_view
from lit_adv.models import Classifier
from lit_adv.randomness import keyed_uniform


def plain(image: Tensor, key: str, model: nn.Module, iterations: int) -> Tensor:
    """Sum the softmax outputs of one image's views [3, H, W], one view after the other, as the authors do."""
    side = image.shape[-1]
    smallest, largest, canvas = round(side * 310 / 299), round(side * 330 / 299), round(side * 331 / 299)
    draws = keyed_uniform(0, "random resizing and padding", [key], iterations, 4)[0].tolist()
    total = torch.zeros(10)
    for coin, size, top, left in draws:
        if coin < 0.5:
            image = image.flip(2)
        r = smallest + int(size * (largest - smallest + 1))
        y, x = int(top * (canvas - r + 1)), int(left * (canvas - r + 1))
        resized = F.interpolate(image[None], (r, r), mode="nearest")
        padded = F.pad(resized, (x, canvas - r - x, y, canvas - r - y), value=0.5)
        total += model(padded)[0].softmax(0)
    return total


@pytest.mark.parametrize("side", [32, 224])
def test_it_equals_a_plain_loop(side: int, classifier: nn.Module) -> None:
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    scores = RandomResizePad(classifier, iterations=4)(images, ["a", "b"])
    expected = torch.stack([plain(image, key, classifier, 4) for image, key in zip(images, "ab", strict=True)])
    torch.testing.assert_close(scores, expected)


@pytest.mark.parametrize(("draw", "r"), [(0.0, 310), (0.999, 330)])
def test_an_image_of_299_becomes_310_to_330_pixels_on_a_canvas_of_331(draw: float, r: int) -> None:
    size, start, unmirrored = torch.tensor([draw]), torch.zeros(1), torch.zeros(1, dtype=torch.bool)
    view = random_view(torch.ones(1, 3, 299, 299), unmirrored, size, start, start)
    assert view.shape == (1, 3, 331, 331)
    assert view[..., :r, :r].eq(1).all()
    assert view[..., r:, :].eq(0.5).all()
    assert view[..., :, r:].eq(0.5).all()


def test_the_last_position_touches_the_far_edges() -> None:
    size, start, unmirrored = torch.zeros(1), torch.full((1,), 0.999), torch.zeros(1, dtype=torch.bool)
    view = random_view(torch.ones(1, 3, 299, 299), unmirrored, size, start, start)
    assert view[..., 21:, 21:].eq(1).all()
    assert view[..., :21, :].eq(0.5).all()


def test_it_takes_images_that_are_not_square(classifier: nn.Module) -> None:
    assert RandomResizePad(classifier, iterations=2)(torch.rand(1, 3, 30, 60), ["a"]).shape == (1, 10)


def test_30_views_are_the_default(images: Tensor, keys: list[str], classifier: nn.Module) -> None:
    scores = RandomResizePad(classifier)(images, keys)
    torch.testing.assert_close(scores.sum(1), torch.full((5,), 30.0))


def test_no_views_are_refused(classifier: nn.Module) -> None:
    with pytest.raises(ValueError, match="positive"):
        RandomResizePad(classifier, iterations=0)


def test_an_auxiliary_head_s_softmax_counts_04_times(classifier: nn.Module, two_headed: Classifier) -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    class Twice(nn.Module):
        def forward(self, seen: Tensor) -> Tensor:
            return 2 * classifier(seen)

    main, auxiliary = (RandomResizePad(model, 4)(images, ["a", "b"]) for model in (classifier, Twice()))
    torch.testing.assert_close(RandomResizePad(two_headed, 4)(images, ["a", "b"]), main + 0.4 * auxiliary)
