"""How gradients pass back through a surrogate's layers, by name. What the surrogate answers is as ever."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lit_adv.attacks.parts import Part

_RELU = (0.0, inf)
#: What cuts features off: from its arguments, where below and above, and whether it overwrites them. ReLU6 as a layer
#: is a hard tanh from 0 to 6.
_CUTS: dict[Callable[..., Tensor], Callable[..., tuple[float, float, bool]]] = {
    F.relu: lambda input, inplace=False: (*_RELU, inplace),
    F.relu6: lambda input, inplace=False: (0.0, 6.0, inplace),
    F.hardtanh: lambda input, min_val=-1.0, max_val=1.0, inplace=False: (min_val, max_val, inplace),
    **dict.fromkeys((torch.relu, Tensor.relu), lambda input: (*_RELU, False)),
    **dict.fromkeys((torch.relu_, Tensor.relu_), lambda input: (*_RELU, True)),
}


class Backward(Part, Protocol):
    """The settings of a way back, with a row in :data:`BACKWARD`."""

    def rule(self) -> AbstractContextManager[Any]:
        """Return a context; what a surrogate computes within it has its gradients pass back this way."""
        ...


@dataclass(frozen=True)
class Exact(Backward):
    """Gradients as they are."""

    def rule(self) -> AbstractContextManager[Any]:
        """Change nothing."""
        return nullcontext()


@dataclass(frozen=True)
class Leaky(Backward):
    """A share of the gradient passes where ReLU, ReLU6 and hard tanh are flat and would stop it.

    Between exact gradients (0) and linear backpropagation in all layers (1; LinBP, Guo et al., NeurIPS 2020, which is
    linear in the last layers alone). What one surrogate happens to ignore, others see. Deep networks want a small
    share. Other activations, clamps, and all that is TorchScript pass gradients as ever.

    Attributes:
        slope: The share.
    """

    slope: float = 0.1

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {"slope": (0, 1)}

    def rule(self) -> AbstractContextManager[Any]:
        """Replace these functions, whichever layer calls them."""
        return _LeakyGradients(self.slope)


#: Ways back by the name that ``backward`` has for them.
BACKWARD: dict[str, type[Backward]] = {"exact": Exact, "leaky": Leaky}


class _LeakyGradients(TorchFunctionMode):
    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _CUTS:
            return func(*args, **kwargs)
        features = args[0] if args else kwargs["input"]
        return _Cut.apply(features, *_CUTS[func](*args, **kwargs), self.slope)


class _Cut(torch.autograd.Function):
    """Values are cut off, gradients are not."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, low: float, high: float, in_place: bool, slope: float) -> Tensor:
        ctx.limits, ctx.slope = (low, high), slope
        if in_place:
            ctx.mark_dirty(features)
        cut: Tensor = (features.clamp_ if in_place else features.clamp)(low, high if high < inf else None)
        # The result tells as well where gradients pass, and layers behind keep it, too. But what comes behind a ReLU6
        # may work in place, so long as that does not.
        ctx.save_for_backward(cut if in_place or ctx.limits == _RELU else features)
        return cut

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        (saved,) = ctx.saved_tensors
        if ctx.limits == _RELU:  # in one go
            return torch.ops.aten.leaky_relu_backward(gradient, saved, ctx.slope, True), None, None, None, None
        exact = torch.ops.aten.hardtanh_backward(gradient, saved, *ctx.limits)
        lerp = torch.lerp if torch.is_grad_enabled() else Tensor.lerp_  # the former for a second derivative
        return lerp(exact, gradient, ctx.slope), None, None, None, None
