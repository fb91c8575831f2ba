"""Optimization changes the speed and nothing else."""

import platform
import shutil
from collections.abc import Callable

import pytest
import timm
import torch
from timm.layers import StdConv2d
from torch import Tensor, nn

from lit_adv.attacks import create_attack
from lit_adv.models import Classifier, Ensemble, auxiliary_sha256, keep_freed_memory, optimize, weights_sha256
from lit_adv.models.optimize import fold_batch_norms
from tests.models_of_tests import linear, two_headed


def randomize_batch_norms(network: nn.Module) -> None:
    """Give every batch normalization statistics that matter, unlike those of a new network."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.2, 0.2),
            ):
                tensor.uniform_(low, high)


@pytest.mark.parametrize(
    ("name", "convolutions"), [("resnet18", 20), ("tf_efficientnet_lite0", 49), ("inception_v3", 94)]
)
def test_folding_keeps_logits_and_gradients(name: str, convolutions: int) -> None:
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=10).double().eval()
    randomize_batch_norms(network)
    model = Classifier(network).double()
    images = torch.rand(2, 3, 96, 96, dtype=torch.float64)

    def logits_and_gradient() -> tuple[Tensor, Tensor]:
        leaf = images.clone().requires_grad_()
        logits = model(leaf)
        return logits, torch.autograd.grad(logits[:, 0].sum(), leaf)[0]

    before = logits_and_gradient()
    assert fold_batch_norms(model) == convolutions
    for old, new in zip(before, logits_and_gradient(), strict=True):
        assert (old - new).abs().max() <= 1e-9 * old.abs().max()


def test_a_network_that_cannot_be_traced_is_left_as_it_is() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.conv(x)) if x.mean() > 0 else x

    model = Branching().eval()
    assert fold_batch_norms(model) == 0
    assert isinstance(model.norm, nn.BatchNorm2d)


def test_a_convolution_whose_output_is_read_twice_is_not_folded() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return y + self.norm(y)

    assert fold_batch_norms(Shared().eval()) == 0


class Twice(nn.Module):
    """Calls one pair of convolution and normalization two times."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(self.norm(self.conv(x))))


class SharedConvolution(nn.Module):
    """Two normalizations after one convolution, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.second = nn.Conv2d(3, 3, 1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(3), nn.BatchNorm2d(3)])

    def forward(self, x: Tensor) -> Tensor:
        return self.norms[0](self.first(x)) + self.norms[1](self.second(x))


def standardized() -> nn.Module:
    return nn.Sequential(StdConv2d(3, 4, 1), nn.BatchNorm2d(4))


def without_statistics() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))


@pytest.mark.parametrize("build", [Twice, SharedConvolution, standardized, without_statistics])
def test_what_folding_would_change_is_left_alone(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = build().double().eval()
    if build is not without_statistics:
        randomize_batch_norms(model)
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    before = model(images)
    assert fold_batch_norms(model) == 0
    assert torch.equal(model(images), before)


def test_activations_do_not_make_autograd_clone_what_they_overwrite() -> None:
    model = optimize(Classifier(timm.create_model("tf_efficientnet_lite0", num_classes=10)))
    images = torch.rand(1, 3, 64, 64, requires_grad=True)
    with torch.profiler.profile() as profile:
        torch.autograd.grad(model(images).sum(), images)
    called = {event.name for event in profile.events()}
    assert "aten::hardtanh" in called
    assert "aten::hardtanh_" not in called  # the form in place, which clones


def test_an_optimized_model_is_frozen_in_eval_mode_and_channels_last() -> None:
    model = optimize(Classifier(timm.create_model("resnet18", num_classes=10)))
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.network.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_surrogate_is_attacked_to_the_same_images() -> None:
    images, labels = torch.rand(4, 3, 32, 32), torch.arange(4)
    made = [
        create_attack("si_ni_ti_dim", optimize(linear(), compile=compiled), steps=2)(images, labels)
        for compiled in (False, True)
    ]
    torch.testing.assert_close(made[1], made[0])


def test_the_members_of_an_ensemble_are_compiled_each(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module, **_: compiled.append(module))
    members = [linear(), linear()]
    optimize(Ensemble(members, fusion="loss"), compile=True)  # whose loss is no forward pass of the ensemble
    assert compiled == members


def test_the_digest_tells_weights_apart_and_nothing_else() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    digest = weights_sha256(model)
    assert weights_sha256(model.to(memory_format=torch.channels_last)) == digest
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] += 1e-6
    assert weights_sha256(model) != digest


def test_auxiliary_heads_have_a_digest_of_their_own() -> None:
    model = two_headed()
    digest, auxiliary = weights_sha256(model), auxiliary_sha256(model)
    with torch.no_grad():
        model.network.AuxLogits[2].bias[0] += 1e-6
    assert weights_sha256(model) == digest
    assert auxiliary_sha256(model) not in (None, auxiliary)
    assert auxiliary_sha256(linear()) is None


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_glibc_keeps_freed_memory_when_told() -> None:
    assert keep_freed_memory()
