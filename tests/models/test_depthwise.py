"""Depthwise convolutions run where they are fast, and compute the same."""

from copy import deepcopy

import pytest
import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn

from lit_adv.models import hasten_depthwise


def gradients(conv: nn.Module, images: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Return the output, and the gradients of its sum of squares to the images and the parameters."""
    leaf = images.clone().requires_grad_()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float64):
        output = conv(leaf)
    return output, *torch.autograd.grad(output.double().square().sum(), [leaf, *conv.parameters()])


@pytest.mark.parametrize("kind", [nn.Conv2d, Conv2dSame])
@pytest.mark.parametrize(("kernel_size", "stride"), [(3, 2), (5, 1), (5, 2)])
def test_output_and_gradients_are_those_of_the_plain_convolution(
    kind: type[nn.Conv2d], kernel_size: int, stride: int
) -> None:
    torch.manual_seed(0)
    conv = kind(8, 8, kernel_size, stride, groups=8)
    images = torch.randn(2, 8, 17, 17).bfloat16()
    expected = gradients(deepcopy(conv).double(), images.double(), torch.float64)
    hasten_depthwise(conv)
    found = gradients(conv, images, torch.bfloat16)
    assert found[0].dtype == torch.bfloat16
    for exact, value in zip(expected, found, strict=True):
        # Nothing but the output and what is made of it is rounded to bfloat16, with its 8 bits.
        assert (value.double() - exact).abs().max() <= 2**-7 * exact.abs().max()


@pytest.mark.parametrize(
    ("kernel_size", "stride", "train_weights", "in_float32"),
    [
        (3, 1, True, False),  # both gradients are fast
        (3, 2, False, True),
        (5, 1, False, False),
        (5, 1, True, True),
    ],
)
def test_float32_is_for_slow_gradients_alone(
    kernel_size: int, stride: int, train_weights: bool, in_float32: bool
) -> None:
    conv = nn.Conv2d(4, 4, kernel_size, stride, groups=4, bias=False).requires_grad_(train_weights)
    hasten_depthwise(conv)
    saved: list[torch.dtype] = []

    def save(tensor: Tensor) -> Tensor:
        saved.append(tensor.dtype)
        return tensor

    images = torch.rand(1, 4, 9, 9).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
            conv(images)
        assert (torch.float32 in saved) == in_float32
        with torch.no_grad():
            unneeded = conv(images)
            assert torch.equal(unneeded, nn.functional.conv2d(images, conv.weight, stride=stride, groups=4))


def test_without_autocast_nothing_changes() -> None:
    conv = nn.Conv2d(4, 4, 5, 2, groups=4).double()
    plain = deepcopy(conv)
    hasten_depthwise(conv)
    images = torch.rand(1, 4, 9, 9, dtype=torch.float64)
    for found, expected in zip(
        gradients(conv, images, torch.float64), gradients(plain, images, torch.float64), strict=True
    ):
        assert torch.equal(found, expected)


def test_parameters_keep_their_names_and_other_convolutions_their_class() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 3, 2, groups=4), nn.Conv2d(4, 8, 3, 2, groups=2))
    before = dict(network.named_parameters())
    classes = [type(layer) for layer in network]
    hasten_depthwise(network)
    assert all(parameter is before[name] for name, parameter in network.named_parameters())
    assert [type(layer) is before_ for layer, before_ in zip(network, classes, strict=True)] == [True, False, True]
    assert torch.equal(deepcopy(network)[1].weight, network[1].weight)
