"""What holds for every attack of the gradient-sign family, whatever its parts."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lit_adv.attacks import count_passes, create_attack
from lit_adv.attacks.directions import DIRECTIONS
from lit_adv.attacks.losses import LOSSES
from lit_adv.attacks.named import FAMILY
from lit_adv.attacks.updates import UPDATES
from lit_adv.attacks.views import VIEWS
from lit_adv.attacks.views import admix as views_admix
from lit_adv.attacks.views import base as views_base
from lit_adv.models import Ensemble
from tests.attacks.conftest import tiny_network

KEYS = ["first", "second", "third"]
#: Every view, with few copies.
SMALL_VIEWS: dict[str, Any] = {
    name: {name: {"copies": 2}} if "copies" in VIEWS[name].__dataclass_fields__ else name for name in VIEWS
} | {"dem": {"dem": [1.2, 1.5]}, "diverse": {"diverse": 1.0}}
#: Every direction, with few samples.
SMALL_DIRECTIONS: dict[str, Any] = {"plain": "plain", "ni": "ni", "cwa": "cwa"} | {
    name: {name: 2} for name in DIRECTIONS if name not in ("plain", "ni", "cwa")
}
OF_ENSEMBLES = [name for name, direction in DIRECTIONS.items() if direction.asks_members]
ONE_SURROGATE = [name for name in DIRECTIONS if name not in OF_ENSEMBLES]


def surrogate_for(direction: str, seed: int = 0) -> nn.Module:
    """Return what a direction attacks."""
    if direction not in OF_ENSEMBLES:
        return tiny_network(seed)
    weights = [1, 1, 2] if DIRECTIONS[direction].uses_weights else None
    return Ensemble([tiny_network(seed + k) for k in range(3)], weights)


def test_predicted_labels_replace_the_true_ones(network: nn.Module, images: Tensor) -> None:
    predictions = network(images).argmax(1)
    wrong = (predictions + 1) % 5
    made = create_attack("mi_fgsm", network, label_source="predicted")(images, wrong)
    torch.testing.assert_close(made, create_attack("mi_fgsm", network)(images, predictions), rtol=0, atol=0)


def test_what_a_surrogate_is_trained_with_is_not_what_an_attack_pushes(
    network: nn.Module, images: Tensor, labels: Tensor
) -> None:
    class Trained(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.loss = nn.CrossEntropyLoss(label_smoothing=0.1)  # of logits, not of images

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.network(images)
            return logits

    made, expected = (create_attack("mi_fgsm", model, steps=2)(images, labels) for model in (Trained(), network))
    assert torch.equal(made, expected)


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


@pytest.mark.parametrize(
    "parts",
    [
        {"random_start": True},
        {"random_start": True, "copies_a_step": 2, "copy_order": "drawn"},
        *({"views": [view]} for name, view in SMALL_VIEWS.items() if name not in ("scale", "admix")),
        {"views": [view for name, view in SMALL_VIEWS.items() if name != "admix"], "copies_a_step": 1},
        {
            "views": [view for name, view in SMALL_VIEWS.items() if name != "admix"],
            "copies_a_step": 2,
            "copy_order": "drawn",
        },
        *({"direction": SMALL_DIRECTIONS[name], "copies_a_step": 1} for name in ("vmi", "vni", "gra", "pgn")),
        {"loss": "po_trip", "target": "random"},
    ],
    ids=str,
)
def test_an_image_depends_on_its_key_alone(parts: dict[str, Any], images: Tensor, labels: Tensor) -> None:
    attack = create_attack("si_ni_ti_dim", tiny_network(0), **{"steps": 3} | parts)
    together = attack(images, labels, KEYS)
    for order in ([0], [1], [2], [2, 0, 1]):
        apart = attack(images[order], labels[order], [KEYS[b] for b in order])
        torch.testing.assert_close(apart, together[order], rtol=0, atol=1e-9)
    other = attack(images, labels, ["other", *KEYS[1:]])
    assert not torch.equal(other[0], together[0])
    torch.testing.assert_close(other[1:], together[1:], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", SMALL_DIRECTIONS)
def test_no_direction_mixes_images(name: str, images: Tensor, labels: Tensor) -> None:
    attack = create_attack("mi_fgsm", surrogate_for(name), direction=SMALL_DIRECTIONS[name], steps=4)
    together = attack(images, labels, KEYS)
    for b in range(3):
        alone = attack(images[b : b + 1], labels[b : b + 1], KEYS[b : b + 1])
        torch.testing.assert_close(alone[0], together[b], rtol=0, atol=1e-9)


def test_admix_draws_partners_of_other_classes_by_key(network: nn.Module, images: Tensor) -> None:
    """The same images by the same keys give the same results in any order; those of its own class have no part."""
    labels = torch.tensor([0, 3, 0])
    attack = create_attack("admix", network, steps=2)
    together = attack(images, labels, KEYS)
    for order in ([2, 0, 1], [1, 2, 0]):
        shuffled = attack(images[order], labels[order], [KEYS[b] for b in order])
        torch.testing.assert_close(shuffled, together[order], rtol=0, atol=1e-9)
    # The second is the only partner that the first has, and may not change; the third may.
    changed = attack(images * torch.tensor([1, 1, 0.5]).view(-1, 1, 1, 1), labels, KEYS)
    torch.testing.assert_close(changed[0], together[0], rtol=0, atol=1e-9)
    assert not torch.equal(changed[1], together[1])
    changed = attack(images * torch.tensor([1, 0.5, 1]).view(-1, 1, 1, 1), labels, KEYS)
    assert not torch.equal(changed[0], together[0])


def test_admix_shows_an_image_that_is_alone_as_it_is(network: nn.Module, images: Tensor) -> None:
    """Whatever fills up the batch: an image's own copies are no partners of it."""
    for count in (1, 3):
        batch, labels, keys = images[:1].expand(count, -1, -1, -1), torch.full((count,), 2), ["only"] * count
        made = create_attack("admix", network, steps=3, scale_space="unit")(batch, labels, keys)
        plain = create_attack("si_mi_fgsm", network, scale_space="unit", steps=3)(batch, labels, keys)
        torch.testing.assert_close(made, plain, rtol=0, atol=1e-9)


def test_admix_mixes_within_a_class_where_a_batch_has_no_other(network: nn.Module, images: Tensor) -> None:
    labels = torch.full((3,), 2)
    made = create_attack("admix", network, steps=3)(images, labels, KEYS)
    plain = create_attack("si_mi_fgsm", network, steps=3)(images, labels, KEYS)
    assert all(not torch.equal(one, other) for one, other in zip(made, plain, strict=True))


def test_what_fills_up_a_batch_changes_nothing_of_admix(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    attack = create_attack("admix", network, steps=3)
    filled, classes = torch.cat([images, images[-1:], images[-1:]]), torch.cat([labels, labels[-1:], labels[-1:]])
    made = attack(filled, classes, [*KEYS, KEYS[-1], KEYS[-1]])
    torch.testing.assert_close(made[:3], attack(images, labels, KEYS), rtol=0, atol=1e-9)


def test_admix_compares_true_classes_where_the_wanted_ones_are_given(network: nn.Module, images: Tensor) -> None:
    """By default these are the surrogate's predictions, as for a loss that leads away from them."""
    wanted, truth = torch.tensor([1, 1, 1]), torch.tensor([0, 3, 0])
    attack = create_attack("admix", network, steps=2, target="given")
    made = attack(images, wanted, KEYS, truth)
    # The second is the only partner that the first has, so that the third may change.
    changed = attack(images * torch.tensor([1, 1, 0.5]).view(-1, 1, 1, 1), wanted, KEYS, truth)
    torch.testing.assert_close(changed[0], made[0], rtol=0, atol=1e-9)
    predicted = network(images).argmax(1)
    torch.testing.assert_close(attack(images, wanted, KEYS), attack(images, wanted, KEYS, predicted), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "others",
    [{}, {"copies_a_step": 3, "copy_order": "drawn"}, {"direction": {"vmi": 2}, "scale_space": "unit"}],
    ids=str,
)
def test_flat_settings_equal_the_views_that_they_stand_for_bit_for_bit(
    others: dict[str, Any], images: Tensor, labels: Tensor
) -> None:
    network, images = tiny_network(0).float(), images.float()
    shared = {"nesterov": True, "kernel_size": 7, "steps": 3, **others}
    flat = create_attack("mi_fgsm", network, scale_copies=5, diversity_probability=0.5, **shared)
    views = create_attack("mi_fgsm", network, views=[{"diverse": 0.5}, {"scale": 5}], **shared)
    assert torch.equal(flat(images, labels, KEYS), views(images, labels, KEYS))


@pytest.mark.parametrize("name", [name for name in SMALL_VIEWS if name not in ("scale",)])
def test_a_part_that_is_named_twice_draws_other_numbers(
    name: str, network: nn.Module, images: Tensor, labels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, ...]] = []
    for function in ("keyed_uniform", "keyed_field", "keyed_normal_field"):
        for module in (views_base, views_admix):
            if hasattr(module, function):
                draw = getattr(module, function)

                def noted(seed: int, purpose: str, *rest: Any, draw: Any = draw, **named: Any) -> Tensor:
                    seen.append((draw.__name__, purpose, *map(str, rest)))
                    drawn: Tensor = draw(seed, purpose, *rest, **named)
                    return drawn

                monkeypatch.setattr(module, function, noted)
    create_attack("fgsm", network, views=[SMALL_VIEWS[name]] * 3)(images, labels, KEYS)
    assert seen
    assert len(set(seen)) == len(seen)


def test_copies_in_turn_are_the_same_for_every_key_and_drawn_ones_are_not(
    network: nn.Module, images: Tensor, labels: Tensor
) -> None:
    for order, same in (("in_turn", True), ("drawn", False)):
        attack = create_attack("si_ni_fgsm", network, copies_a_step=2, copy_order=order)
        assert torch.equal(attack(images, labels, KEYS), attack(images, labels, KEYS[::-1])) == same


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({}, 50),
        ({"copies_a_step": 2}, 20),
        ({"scale_copies": 3, "steps": 4}, 12),
        ({"views": [{"scale": 2}, {"bsr": 3}], "steps": 2}, 12),
        ({"views": [{"scale": 2}, {"dem": [1.2, 1.4]}], "steps": 2, "copies_a_step": 3, "copy_order": "drawn"}, 6),
        ({"direction": {"vni": 3}, "steps": 3, "copies_a_step": 1}, 9),
        ({"direction": {"vmi": 3}, "steps": 1}, 5),
        ({"direction": {"emi": 4}, "steps": 2, "scale_copies": 1}, 8),
        ({"direction": {"emi": 4}, "steps": 2, "scale_copies": 2, "diversity_probability": 0.0}, 10),
        ({"direction": {"emi": 4}, "steps": 2, "views": [{"admix": 2}, {"scale": 2}], "copies_a_step": 1}, 5),
        ({"direction": {"gra": 2}, "steps": 2, "scale_copies": 2}, 12),
        ({"direction": {"pgn": 2}, "steps": 2, "scale_copies": 1}, 8),
        ({"warm_up_steps": 3, "steps": 2, "copies_a_step": 1}, 5),
        ({"warm_up_steps": 1, "direction": {"vmi": 3}, "steps": 1, "scale_copies": 1}, 5),
    ],
    ids=str,
)
def test_the_passes_of_an_image_are_counted(
    options: dict[str, Any], passes: int, network: nn.Module, images: Tensor, labels: Tensor
) -> None:
    seen: list[int] = []
    network.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    attack = create_attack("si_ni_ti_dim", network, **options)
    attack(images, labels)
    assert attack.passes == passes == count_passes("si_ni_ti_dim", **options)
    assert seen == [3] * passes


@pytest.mark.parametrize(
    ("direction", "passes", "each_member"),
    [
        ("plain", 6, [6, 6, 6]),
        ("longitudinal", 6, [2, 2, 2]),
        ({"longitudinal_ni": 2}, 12, [4, 4, 4]),
        ({"svre": 3}, 6 * 7, None),
        ("cwa", 12, [12, 12, 12]),
    ],
    ids=str,
)
def test_the_passes_of_an_ensemble_s_members_are_counted(
    direction: Any, passes: int, each_member: list[int] | None, images: Tensor, labels: Tensor
) -> None:
    """What asks single members counts each such pass as one, and all of them in turn (common weakness) as one."""
    ensemble = Ensemble([tiny_network(seed) for seed in range(3)])
    seen = [0, 0, 0]
    for k, member in enumerate(ensemble.members):

        def note(module: nn.Module, inputs: Any, output: Any, k: int = k) -> None:
            seen[k] += 1

        member.register_forward_hook(note)
    attack = create_attack("mi_fgsm", ensemble, direction=direction, steps=6)
    attack(images, labels)
    assert attack.passes == passes
    if each_member is None:  # 6 of the whole ensemble, 36 of drawn members
        assert sum(seen) == 3 * 6 + 36
        assert min(seen) > 6
    else:
        assert seen == each_member


class Constant(nn.Module):
    """A network that no pixel changes."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), 5, dtype=x.dtype) + 0 * x.sum()


@pytest.mark.parametrize(
    "parts",
    [
        *({"gradient_norm": norm} for norm in ("mean_abs", "l1", "none")),
        *({"views": [view]} for view in SMALL_VIEWS.values()),
        *({"direction": direction} for direction in SMALL_DIRECTIONS.values()),
        *({"update": update} for update in UPDATES),
        *({"loss": loss, "target": "random"} for loss in LOSSES),
        {"update": {"sign": 0.9}, "direction": {"gra": 2}, "warm_up_steps": 2},
    ],
    ids=str,
)
def test_a_zero_gradient_leaves_the_image_finite_and_unchanged(
    parts: dict[str, Any], images: Tensor, labels: Tensor
) -> None:
    for dtype in (torch.float64, torch.float32):
        ensemble = Ensemble([Constant(), Constant()])
        made = create_attack("si_ni_ti_dim", ensemble, **{"steps": 2} | parts)(images.to(dtype), labels)
        torch.testing.assert_close(made, images.to(dtype), rtol=0, atol=1e-7 if dtype == torch.float32 else 1e-15)


@pytest.mark.parametrize("parts", [{"direction": "gra"}, {"update": "adam_tanh"}, {"direction": "cwa"}, {}], ids=str)
def test_a_gradient_too_small_for_squares_in_float32_counts_as_any_other(
    parts: dict[str, Any], images: Tensor, labels: Tensor
) -> None:
    """Squares of 10^-25 are zero in float32; a surrogate that is that sure of itself has such gradients."""

    class Faint(nn.Module):
        def __init__(self, inner: nn.Module, factor: float) -> None:
            super().__init__()
            self.inner, self.factor = inner, factor

        def forward(self, x: Tensor) -> Tensor:
            return self.factor * self.inner(x)

    def attacked(factor: float) -> Tensor:
        ensemble = Ensemble([Faint(tiny_network(seed).float(), factor) for seed in range(2)])
        attack = create_attack("mi_fgsm", ensemble, loss="logit", steps=3, **parts)
        return attack(images.float(), labels, KEYS)

    # Rounding differs, so that a few signs may.
    assert ((attacked(2.0**-80) - attacked(1.0)).abs() > 1e-4).double().mean() < 0.01


def test_adam_goes_on_after_a_gradient_that_is_next_to_none(images: Tensor, labels: Tensor) -> None:
    """As it does in float64, where the squares of all gradients are numbers of their own."""

    class Waking(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner, self.factors = inner, iter([2.0**-110, 2.0**-20, 1.0, 4.0])

        def forward(self, x: Tensor) -> Tensor:
            return next(self.factors) * self.inner(x)

    made = [
        create_attack("ai_fgtm", Waking(tiny_network(0).to(dtype)), loss="logit", steps=4)(images.to(dtype), labels)
        for dtype in (torch.float32, torch.float64)
    ]
    torch.testing.assert_close(made[0].double(), made[1], rtol=0, atol=1e-5)
    assert (made[1] - images).abs().mean() > 0.01


@pytest.mark.parametrize("loss", LOSSES)
def test_every_targeted_loss_leads_towards_its_class(loss: str, images: Tensor, labels: Tensor) -> None:
    network, wanted = tiny_network(0), (labels + 1) % 5
    attack = create_attack("mi_fgsm", network, target="given", loss=loss, eps=0.3)
    before, after = (network(x).log_softmax(1).gather(1, wanted[:, None]) for x in (images, attack(images, wanted)))
    assert (after > before).all()


@pytest.mark.parametrize("direction", SMALL_DIRECTIONS)
@pytest.mark.parametrize("update", UPDATES)
def test_every_direction_leads_towards_a_target_and_away_from_the_truth(
    direction: str, update: str, images: Tensor, labels: Tensor
) -> None:
    surrogate, wanted = surrogate_for(direction), (labels + 1) % 5
    parts = {"direction": SMALL_DIRECTIONS[direction], "update": update, "steps": 5}
    away = create_attack("mi_fgsm", surrogate, **parts)(images, labels)
    towards = create_attack("mi_fgsm", surrogate, target="given", **parts)(images, wanted)
    for made, classes, sign in ((away, labels, -1), (towards, wanted, 1)):
        before, after = (surrogate(x).log_softmax(1).gather(1, classes[:, None]) for x in (images, made))
        assert (sign * (after - before) > 0).all()


def test_with_the_literal_l1_norm_nesterov_changes_next_to_nothing(
    network: nn.Module, images: Tensor, labels: Tensor
) -> None:
    """The reason why the mean absolute value is the default: the look-ahead must be felt."""

    def share_changed(norm: str) -> float:
        ni, mi = (create_attack(n, network, gradient_norm=norm)(images, labels) for n in ("ni_fgsm", "mi_fgsm"))
        return float((ni != mi).double().mean())

    assert share_changed("l1") < share_changed("mean_abs")


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(list(FAMILY)),
    views=st.none() | st.lists(st.sampled_from(sorted(SMALL_VIEWS)), max_size=2),
    direction=st.sampled_from(ONE_SURROGATE),
    loss=st.sampled_from(sorted(LOSSES)),
    backward=st.sampled_from(["exact", "leaky", {"leaky": 1.0}]),
    update=st.sampled_from(sorted(UPDATES)),
    levels=st.integers(0, 64),
    target=st.sampled_from([None, "given", "least_likely", "random"]),
    seed=st.integers(0, 2**32),
)
def test_no_attack_leaves_its_budget_or_the_unit_range(
    name: str,
    views: list[str] | None,
    direction: str,
    loss: str,
    backward: str | dict[str, float],
    update: str,
    levels: int,
    target: str | None,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 18 * 18, 5)).eval()
    images = torch.rand(2, 3, 20, 20)
    parts: dict[str, Any] = {"direction": SMALL_DIRECTIONS[direction], "backward": backward, "update": update}
    if views is not None:
        parts["views"] = [SMALL_VIEWS[view] for view in views]
    if not (loss == "po_trip" and target is None):
        parts["loss"] = loss
    warm_up = {"warm_up_steps": seed % 2, "momentum": 1.0} if seed % 2 else {}
    options = {"eps": f"{levels}/255", "target": target, "steps": 2, "seed": seed, "copies_a_step": 1} | warm_up
    made = create_attack(name, network, **options, **parts)(images, torch.tensor([0, 1]))
    assert made.min() >= 0
    assert made.max() <= 1
    assert (made - images).abs().max() <= levels / 255 + 1e-6


@pytest.mark.parametrize("direction", OF_ENSEMBLES)
def test_no_attack_of_an_ensemble_leaves_its_budget(direction: str, images: Tensor, labels: Tensor) -> None:
    attack = create_attack("mi_fgsm", surrogate_for(direction), direction=SMALL_DIRECTIONS[direction], eps="8/255")
    made = attack(images, labels)
    assert made.min() >= 0
    assert made.max() <= 1
    assert (made - images).abs().max() <= 8 / 255 + 1e-12


def test_svre_draws_members_by_their_weights(images: Tensor, labels: Tensor) -> None:
    asked = [0, 0]
    ensemble = Ensemble([tiny_network(seed) for seed in range(2)], weights=[1, 9])
    for k, member in enumerate(ensemble.members):

        def note(module: nn.Module, inputs: Any, output: Any, k: int = k) -> None:
            asked[k] += 1

        member.register_forward_hook(note)
    create_attack("mi_fgsm", ensemble, direction={"svre": 200}, steps=1)(images, labels)
    assert sum(asked) == 2 + 400
    assert 0.05 < asked[0] / 402 < 0.15


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
