"""The gradient-sign family against plain loops in float64, and its invariants."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lit_adv.attacks import create_attack
from lit_adv.attacks.named import FAMILY
from lit_adv.randomness import keyed_uniform
from tests.attacks.reference import View, tensor_attack

KEYS = ["first", "second", "third"]
SCHEDULE = ("steps", "scale_copies", "copies_a_step", "copy_order", "diversity_probability")


def reference_views(p: float, steps: int, copies: int, side: int) -> list[list[list[View | None]]]:
    """Turn the keyed uniform numbers into views as the design states it, image by image."""
    canvas = round(side * 331 / 299)
    numbers = keyed_uniform(0, "input diversity", KEYS, steps, copies, 4).numpy()

    def view(coin: float, size: float, top: float, left: float) -> View | None:
        r = side + int(size * (canvas - side))
        return View(r, int(top * (canvas - r + 1)), int(left * (canvas - r + 1))) if coin < p else None

    return [[[view(*numbers[b, t, i]) for i in range(copies)] for t in range(steps)] for b in range(len(KEYS))]


def reference_copies(steps: int, copies: int, a_step: int, order: str) -> list[list[list[int]]]:
    """Choose the copies that each step sees as the settings state it, image by image."""
    if order == "in_turn":
        endless = itertools.cycle(range(copies))
        return [[[next(endless) for _ in range(a_step)] for _ in range(steps)]] * len(KEYS)
    numbers = keyed_uniform(0, "scale copies", KEYS, steps, copies).tolist()
    return [[sorted(range(copies), key=row.__getitem__)[:a_step] for row in image] for image in numbers]


def expected(
    name: str, network: nn.Module, images: Tensor, labels: Tensor, options: dict[str, Any], **changes: object
) -> Tensor:
    """Run the reference with the settings of a named attack."""
    row = FAMILY[name].settings | {key: options[key] for key in SCHEDULE if key in options}
    p, random_start = row.pop("diversity_probability", 0.0), row.pop("random_start", False)
    steps, copies = row.get("steps", 10), row.get("scale_copies", 1)
    a_step, order = row.pop("copies_a_step", None), row.pop("copy_order", "in_turn")
    if a_step is not None:
        row["copies"] = reference_copies(steps, copies, a_step, order)
    if p:
        row["views"] = reference_views(p, steps, a_step or copies, images.shape[-1])
    if random_start:
        noise = (2 * keyed_uniform(0, "random start", KEYS, *images.shape[1:]) - 1) * 16 / 255
        row["start"] = (images + noise).clamp(0, 1)
    return tensor_attack(network, images, labels, **row, **changes)


@pytest.mark.parametrize("name", FAMILY)
def test_each_named_attack_equals_the_plain_loop(name: str, network: nn.Module, images: Tensor, labels: Tensor) -> None:
    made = create_attack(name, network)(images, labels, KEYS)
    torch.testing.assert_close(made, expected(name, network, images, labels, {}), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"scale_space": "unit"}, {"zero": 0.0}),
        ({"interpolation": "bilinear"}, {"mode": "bilinear"}),
        ({"gradient_norm": "l1"}, {"l1": True}),
        ({"eps": "8/255", "step_size": "2/255"}, {"eps": 8 / 255, "step_size": 2 / 255}),
        ({"target": "given"}, {"sign": -1}),
        ({"copies_a_step": 2}, {}),
        ({"copies_a_step": 5, "copy_order": "drawn"}, {}),
        ({"copies_a_step": 1, "copy_order": "drawn", "steps": 12, "diversity_probability": 1.0}, {}),
        ({"copies_a_step": 3, "copy_order": "drawn", "scale_copies": 7, "scale_space": "unit"}, {"zero": 0.0}),
        ({"copies_a_step": 2, "scale_copies": 3, "target": "given"}, {"sign": -1}),
        ({"copies_a_step": 2, "copy_order": "drawn", "target": "given"}, {"sign": -1}),
    ],
)
def test_each_option_equals_the_plain_loop(
    options: dict[str, Any], changes: dict[str, object], network: nn.Module, images: Tensor, labels: Tensor
) -> None:
    made = create_attack("si_ni_ti_dim", network, **options)(images, labels, KEYS)
    plain = expected("si_ni_ti_dim", network, images, labels, options, **changes)
    torch.testing.assert_close(made, plain, rtol=0, atol=1e-9)


def test_predicted_labels_replace_the_true_ones(network: nn.Module, images: Tensor) -> None:
    predictions = network(images).argmax(1)
    wrong = (predictions + 1) % 5
    made = create_attack("mi_fgsm", network, label_source="predicted")(images, wrong)
    torch.testing.assert_close(made, create_attack("mi_fgsm", network)(images, predictions), rtol=0, atol=0)


def test_least_likely_target_is_the_smallest_logit_but_not_the_label(
    network: nn.Module, images: Tensor, labels: Tensor
) -> None:
    goal = create_attack("mi_fgsm", network, target="least_likely").goal_labels(images, labels)
    for image, label, chosen in zip(images, labels, goal, strict=True):
        logits = network(image[None])[0].tolist()
        others = [k for k in range(5) if k != label]
        assert chosen == min(others, key=lambda k: logits[k])


def test_random_targets_are_uniform_over_the_other_classes(network: nn.Module, images: Tensor) -> None:
    count = 4000
    many, labels = images[:1].expand(count, -1, -1, -1), torch.full((count,), 2)
    goal = create_attack("mi_fgsm", network, target="random").goal_labels(many, labels)
    frequencies = goal.bincount(minlength=5) / count
    assert frequencies[2] == 0
    np.testing.assert_allclose(frequencies[[0, 1, 3, 4]], 0.25, atol=0.03)


def test_a_targeted_attack_reaches_its_class_more_often(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    attack = create_attack("mi_fgsm", network, target="given", eps=0.3)
    wanted = (labels + 1) % 5
    before = network(images).log_softmax(1).gather(1, wanted[:, None])
    after = network(attack(images, wanted)).log_softmax(1).gather(1, wanted[:, None])
    assert (after > before).all()


@pytest.mark.parametrize("schedule", [{}, {"copies_a_step": 2, "copy_order": "drawn"}])
def test_an_image_depends_on_its_key_alone(
    schedule: dict[str, Any], network: nn.Module, images: Tensor, labels: Tensor
) -> None:
    attack = create_attack("si_ni_ti_dim", network, random_start=True, **schedule)
    together = attack(images, labels, KEYS)
    for b in range(3):
        alone = attack(images[b : b + 1], labels[b : b + 1], KEYS[b : b + 1])
        torch.testing.assert_close(alone[0], together[b], rtol=0, atol=1e-9)
    other = attack(images, labels, ["other", *KEYS[1:]])
    assert not torch.equal(other[0], together[0])
    torch.testing.assert_close(other[1:], together[1:], rtol=0, atol=1e-9)


def test_copies_in_turn_are_the_same_for_every_key_and_drawn_ones_are_not(
    network: nn.Module, images: Tensor, labels: Tensor
) -> None:
    for order, same in (("in_turn", True), ("drawn", False)):
        attack = create_attack("si_ni_fgsm", network, copies_a_step=2, copy_order=order)
        assert torch.equal(attack(images, labels, KEYS), attack(images, labels, KEYS[::-1])) == same


@pytest.mark.parametrize(
    ("options", "passes"), [({}, 50), ({"copies_a_step": 2}, 20), ({"scale_copies": 3, "steps": 4}, 12)]
)
def test_the_passes_of_an_image_are_counted(
    options: dict[str, Any], passes: int, network: nn.Module, images: Tensor, labels: Tensor
) -> None:
    seen = []
    network.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    attack = create_attack("si_ni_ti_dim", network, **options)
    attack(images, labels)
    assert attack.passes == passes
    assert seen == [3] * passes


def test_a_zero_gradient_leaves_the_image_finite_and_unchanged(images: Tensor, labels: Tensor) -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), 5, dtype=x.dtype) + 0 * x.sum()

    for norm in ("mean_abs", "l1"):
        made = create_attack("si_ni_ti_dim", Constant(), gradient_norm=norm)(images, labels)
        torch.testing.assert_close(made, images, rtol=0, atol=1e-15)


def test_with_the_literal_l1_norm_nesterov_changes_next_to_nothing(
    network: nn.Module, images: Tensor, labels: Tensor
) -> None:
    """The reason why the mean absolute value is the default: the look-ahead must be felt."""

    def share_changed(norm: str) -> float:
        ni, mi = (create_attack(n, network, gradient_norm=norm)(images, labels) for n in ("ni_fgsm", "mi_fgsm"))
        return float((ni != mi).double().mean())

    assert share_changed("l1") < share_changed("mean_abs")


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(list(FAMILY)),
    levels=st.integers(0, 64),
    target=st.sampled_from([None, "least_likely", "random"]),
    seed=st.integers(0, 2**32),
)
def test_no_attack_leaves_its_budget_or_the_unit_range(name: str, levels: int, target: str | None, seed: int) -> None:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 18 * 18, 5)).eval()
    images = torch.rand(2, 3, 20, 20)
    attack = create_attack(name, network, eps=f"{levels}/255", target=target, steps=2, seed=seed)
    made = attack(images, torch.tensor([0, 1]))
    assert made.min() >= 0
    assert made.max() <= 1
    assert (made - images).abs().max() <= levels / 255 + 1e-6


def test_one_key_for_each_image_is_required(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    with pytest.raises(ValueError, match="3 images but 1 keys"):
        create_attack("fgsm", network)(images, labels, ["only"])


def test_inference_mode_is_refused_with_the_remedy(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    with torch.inference_mode(), pytest.raises(RuntimeError, match=r"Trainer\(inference_mode=False\)"):
        create_attack("fgsm", network)(images, labels)


def test_no_grad_does_not_stop_an_attack(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    with torch.no_grad():
        made = create_attack("fgsm", network)(images, labels)
    assert not made.requires_grad
    assert not torch.equal(made, images)
