"""Layers of a frozen network, with what every pass would do again done once or not at all. The numbers stay the same.

- Weights are cast once where autocast casts them; see :mod:`lit_adv.models.cast_once`.
- On a CPU in float32, the ReLU6 between two convolutions works in place, in both directions. Autograd saves the input
  of a ReLU6, but its output tells as well where the gradient passes; and the convolution behind it has a gradient of
  its own to overwrite.
- There, too, a strided depthwise convolution with TensorFlow's padding, one row and column more on the one side, has a
  row and a column of zeros in its kernel instead of a padded copy of its images.
"""

from collections import Counter
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame
from timm.layers.padding import get_same_padding, pad_same
from torch import Tensor, fx, nn
from torch.overrides import has_torch_function

from lit_adv.models.cast_once import weights_on_autocast
from lit_adv.models.depthwise import DepthwiseConv2d, DepthwiseConv2dSame, InFloat32


class _Frozen:
    """Comes before a class of convolutions."""

    #: Whether a ReLU6 comes first.
    clamps = False

    def forward(self: Any, images: Tensor) -> Tensor:
        fast, clamps = _in_float32_on_cpu(self, images), self.clamps
        # Whoever listens to torch's functions, as attacks with gradients of their own do, is to hear of the ReLU6.
        heard = clamps and has_torch_function((images,))
        if heard or (clamps and not fast):
            images, clamps = F.relu6(images, inplace=heard), False
        if not fast:
            result: Tensor = super().forward(images)  # type: ignore[misc]
            return result
        images, weight, padding = _with_even_padding(self, images)
        if clamps:
            clamped: Tensor = _ClampedConvolution.apply(images, weight, padding, self)
            return clamped
        return F.conv2d(images, weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _conv_forward(self: Any, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        result: Tensor = super()._conv_forward(images, *weights_on_autocast(self))  # type: ignore[misc]
        return result


class _PadFirst:
    """Comes before timm's Conv2dSame, which would go past ``_conv_forward``."""

    def forward(self: Any, images: Tensor) -> Tensor:
        padded = pad_same(images, self.kernel_size, self.stride, self.dilation)
        result: Tensor = self._conv_forward(padded, self.weight, self.bias)
        return result


class _Conv2d(_Frozen, nn.Conv2d):
    pass


class _Conv2dSame(_Frozen, _PadFirst, Conv2dSame):  # type: ignore[misc]  # timm has no types
    pass


class _DepthwiseConv2d(_Frozen, DepthwiseConv2d):
    pass


class _DepthwiseConv2dSame(_Frozen, InFloat32, _PadFirst, Conv2dSame):  # type: ignore[misc]
    pass


class _Linear(nn.Linear):
    def forward(self, features: Tensor) -> Tensor:
        return F.linear(features, *weights_on_autocast(self))


_FROZEN: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: _Conv2d,
    Conv2dSame: _Conv2dSame,
    DepthwiseConv2d: _DepthwiseConv2d,
    DepthwiseConv2dSame: _DepthwiseConv2dSame,
    nn.Linear: _Linear,
}
_CONVOLUTIONS = set(_FROZEN.values()) - {_Linear}


def prepare_frozen(model: nn.Module) -> None:
    """Let the layers of a frozen model use that their weights stay.

    Parameters and their names stay as they are, and weights that are loaded later count.

    Args:
        model: Changed in place.
    """
    for module in model.modules():
        if type(module) in _FROZEN:
            module.__class__ = _FROZEN[type(module)]


def join_clamps(network: nn.Module, graph: fx.Graph) -> int:
    """Leave each ReLU6 between two convolutions to the second, if nothing else reads what it reads or gives.

    Args:
        network: After :func:`prepare_frozen`; changed in place.
        graph: Its forward pass, traced down to single layers.

    Returns:
        How many were joined.
    """
    modules = dict(network.named_modules(remove_duplicate=False))
    calls = Counter(id(modules[str(node.target)]) for node in graph.nodes if node.op == "call_module")

    def alone(node: object) -> nn.Module | None:
        """Return the module that a node calls, if it is called nowhere else."""
        if not isinstance(node, fx.Node) or node.op != "call_module":
            return None
        module = modules[str(node.target)]
        return module if calls[id(module)] == 1 else None

    joined = 0
    for node in graph.nodes:
        if type(alone(node)) is not nn.ReLU6:
            continue
        first, second = (alone(_neighbour(node, modules, back=back)) for back in (True, False))
        if first is not None and second is not None and {type(first), type(second)} <= _CONVOLUTIONS:
            second.clamps = True  # type: ignore[assignment]
            network.set_submodule(str(node.target), nn.Identity())
            joined += 1
    return joined


def _neighbour(node: fx.Node, modules: dict[str, nn.Module], *, back: bool) -> fx.Node | None:
    """Return the one node before or after, past what does nothing; None where the way parts."""
    while True:
        source = node.args[0] if node.args else None
        if back:
            following = source if isinstance(source, fx.Node) and len(source.users) == 1 else None
        else:
            following = next(iter(node.users)) if len(node.users) == 1 else None
        if following is None or following.op != "call_module":
            return following
        if not isinstance(modules[str(following.target)], nn.Identity):
            return following
        node = following


class _ClampedConvolution(torch.autograd.Function):
    """A ReLU6 in place, and the convolution behind it."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, padding: list[int], conv: nn.Conv2d) -> Tensor:
        images.clamp_(0, 6)
        ctx.save_for_backward(images, weight)
        ctx.how = (list(conv.stride), padding, list(conv.dilation), False, [0, 0], conv.groups)
        return torch.convolution(images, weight, conv.bias, *ctx.how)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        images, weight = ctx.saved_tensors
        grad = torch.ops.aten.convolution_backward(
            gradient, images, weight, None, *ctx.how, output_mask=[True, False, False]
        )[0]
        if torch.is_grad_enabled():  # for a second derivative
            return torch.ops.aten.hardtanh_backward(grad, images, 0, 6), None, None, None
        return torch.ops.aten.hardtanh_backward.grad_input(grad, images, 0, 6, grad_input=grad), None, None, None


def _in_float32_on_cpu(conv: nn.Conv2d, images: Tensor) -> bool:
    return (
        images.device.type == "cpu"
        and images.dtype == conv.weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not (conv.weight.requires_grad or (conv.bias is not None and conv.bias.requires_grad))
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
    )


def _with_even_padding(conv: nn.Conv2d, images: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """Return the images, the kernel and the padding of a convolution that pads its sides alike."""
    if not isinstance(conv, Conv2dSame):
        return images, conv.weight, [int(pixels) for pixels in conv.padding]
    sides = zip(images.shape[2:], conv.kernel_size, conv.stride, conv.dilation, strict=True)
    padding = [get_same_padding(*side) for side in sides]
    if conv.groups > 1 and set(conv.dilation) == {1} and all(pixels % 2 for pixels in padding):
        return images, F.pad(conv.weight, (1, 0, 1, 0)), [(pixels + 1) // 2 for pixels in padding]
    return pad_same(images, conv.kernel_size, conv.stride, conv.dilation), conv.weight, [0, 0]
