"""A frozen network is prepared once, and computes what it would unprepared."""

import importlib
from collections.abc import Callable
from copy import deepcopy

import pytest
import timm
import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn

from lit_adv.attacks import create_attack
from lit_adv.defenses import create_defense
from lit_adv.models import Classifier, Ensemble, optimize

Build = Callable[[nn.Module], nn.Module]


def lite0(seed: int = 0) -> Classifier:
    """Return EfficientNet-Lite0 with random weights and activations that neither vanish nor all saturate."""
    torch.manual_seed(seed)
    network = timm.create_model("tf_efficientnet_lite0", num_classes=10)
    with torch.no_grad():
        network.train()(torch.rand(4, 3, 64, 64))
    return Classifier(network.eval())


def convolutions() -> nn.Module:
    """Return layers of every kind that is prepared, with a ReLU6 to join among them."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.ReLU6(),
        Conv2dSame(8, 8, 3, stride=2, groups=8),
        nn.ReLU6(),
        Conv2dSame(8, 8, 5, stride=2),
        nn.Flatten(),
        nn.Linear(8 * 4 * 4, 5),
    )


def logits_and_gradient(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    leaf = images.clone().requires_grad_()
    logits = model(leaf)
    return logits.detach(), torch.autograd.grad(logits.float().logsumexp(1).sum(), leaf)[0]


def assert_same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()))


@pytest.fixture
def unprepared(monkeypatch: pytest.MonkeyPatch) -> Build:
    """Optimize a model without what this page is about."""

    def build(model: nn.Module) -> nn.Module:
        with monkeypatch.context() as patch:
            patch.setattr(importlib.import_module("lit_adv.models.optimize"), "prepare_frozen", lambda _: None)
            return optimize(model)

    return build


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_logits_and_gradients_stay(images: Tensor, unprepared: Build) -> None:
    model = optimize(lite0())
    kept = [module for module in model.modules() if isinstance(module, nn.ReLU6)]
    assert len(kept) == 1  # no convolution comes after the last
    assert_same(logits_and_gradient(model, images), logits_and_gradient(unprepared(lite0()), images))


@pytest.mark.parametrize("size", [15, 16])  # TensorFlow pads sides of odd and of even length in other ways
def test_every_kind_of_layer_computes_the_same(size: int) -> None:
    images, plain = torch.rand(2, 3, size, size), convolutions()
    assert_same(logits_and_gradient(optimize(deepcopy(plain)), images), logits_and_gradient(plain, images))


def test_an_ensemble_is_attacked_to_the_same_images(images: Tensor, unprepared: Build) -> None:
    labels = torch.tensor([3, 4])

    def attacked(build: Build) -> Tensor:
        model = build(Ensemble([lite0(0), lite0(1)]))
        return create_attack("si_ni_ti_dim", model, steps=2)(images, labels)

    assert ((attacked(optimize) - attacked(unprepared)).abs() > 1e-6).float().mean() < 1e-3


def test_a_defended_model_scores_the_same(images: Tensor, unprepared: Build) -> None:
    def scores(build: Build) -> Tensor:
        defended = build(create_defense("jpeg", lite0()))
        with torch.inference_mode():
            found: Tensor = defended(images, ["a", "b"])
        return found

    assert_same((scores(optimize),), (scores(unprepared),))


def test_names_and_values_of_weights_stay() -> None:
    plain = convolutions()
    state = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    model = optimize(plain)
    with torch.autocast("cpu", torch.bfloat16):
        model(torch.rand(1, 3, 15, 15))
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def casts(run: Callable[[], object]) -> int:
    """Count the tensors that change their type."""
    with torch.profiler.profile() as profile:
        run()
    return sum(event.name == "aten::_to_copy" for event in profile.events())


def test_autocast_casts_frozen_weights_once_and_to_the_same(unprepared: Build) -> None:
    images, model, plain = torch.rand(2, 3, 15, 15), optimize(convolutions()), unprepared(convolutions())
    with torch.autocast("cpu", torch.bfloat16):
        first = logits_and_gradient(model, images)
        model(images)  # without a gradient the depthwise convolution is in bfloat16, too
        again = casts(lambda: model(images))
        expected = logits_and_gradient(plain, images)
        anew = casts(lambda: plain(images))
    for found, wanted in zip(first, expected, strict=True):
        assert torch.equal(found, wanted)
    assert anew - again == 8  # weights and biases of four layers


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_weights_that_are_loaded_later_count(dtype: torch.dtype) -> None:
    images, model = torch.rand(2, 3, 15, 15), optimize(convolutions())
    other = {name: tensor * 1.5 for name, tensor in model.state_dict().items()}
    fresh = convolutions()
    fresh.load_state_dict(other)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
        model(images)
        twin = deepcopy(model)
        before = twin(images)
        model.load_state_dict(other)
        assert_same(logits_and_gradient(model, images), logits_and_gradient(optimize(fresh), images))
        assert torch.equal(twin(images), before)


def test_what_was_cast_in_inference_mode_can_be_attacked() -> None:
    images, model = torch.rand(2, 3, 15, 15), optimize(convolutions())
    with torch.autocast("cpu", torch.bfloat16):
        with torch.inference_mode():
            model(images)
        gradient = logits_and_gradient(model, images)[1]
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_weights_that_are_trained_after_all_get_their_gradients(dtype: torch.dtype, unprepared: Build) -> None:
    images = torch.rand(2, 3, 15, 15)
    model, plain = optimize(convolutions()), unprepared(convolutions())
    gradients = []
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
        model(images)
        for network in (model.requires_grad_(), plain.requires_grad_()):
            gradients.append(torch.autograd.grad(network(images).float().square().sum(), list(network.parameters())))
    assert_same(*gradients)


def test_second_derivatives_are_those_of_the_plain_network() -> None:
    def second(model: nn.Module) -> tuple[Tensor, ...]:
        leaf = torch.rand(1, 3, 15, 15, generator=torch.Generator().manual_seed(0)).requires_grad_()
        first = torch.autograd.grad(model(leaf).square().sum(), leaf, create_graph=True)[0]
        return torch.autograd.grad(first.square().sum(), leaf)

    assert_same(second(optimize(convolutions())), second(convolutions().requires_grad_(False)))


def test_nothing_infinite_or_undefined_is_hidden() -> None:
    model = optimize(convolutions())
    images = torch.rand(1, 3, 15, 15)
    images[0, 0, 7, 7] = torch.nan
    assert model(images).isnan().all()


class ReadTwice(nn.Module):
    """Reads what goes into its ReLU6, or what comes out, a second time."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where, self.first, self.second, self.act = where, nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        before = self.first(x)
        after = self.act(before)
        return self.second(after) + (before if self.where == "before" else after)


class SharedLayer(nn.Module):
    """Calls one activation, or one convolution behind it, twice."""

    def __init__(self, which: str) -> None:
        super().__init__()
        self.which = which
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(3))
        self.acts = nn.ModuleList(nn.ReLU6() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.acts[0](self.layers[0](x))
        x = self.acts[0 if self.which == "activation" else 1](self.layers[1](x))
        y: Tensor = self.layers[1 if self.which == "convolution" else 2](x)
        return y


@pytest.mark.parametrize(
    "model", [ReadTwice("before"), ReadTwice("after"), SharedLayer("activation"), SharedLayer("convolution")]
)
def test_what_joining_would_change_is_left_alone(model: nn.Module) -> None:
    images, plain = torch.randn(2, 3, 6, 6) * 3, deepcopy(model)
    assert_same(logits_and_gradient(optimize(model), images), logits_and_gradient(plain, images))
