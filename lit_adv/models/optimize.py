"""Make a classifier fast to attack. Nothing here changes what it computes, beyond rounding."""

import ctypes
from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import torch
from timm.layers import Conv2dSame
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from lit_adv.models.classifier import Classifier
from lit_adv.models.depthwise import hasten_depthwise
from lit_adv.models.ensemble import Ensemble
from lit_adv.models.frozen import join_clamps, prepare_frozen
from lit_adv.models.slim.names import AUXILIARY

#: Of glibc's malloc.h: M_MMAP_MAX, so that no block is a mapping of its own; M_TRIM_THRESHOLD and M_TOP_PAD, in bytes.
_MALLOC_SETTINGS = ((-4, 0), (-1, 2**31 - 1), (-2, 256 * 2**20))
#: What the weights of auxiliary heads have in their names.
_AUXILIARY = f"{AUXILIARY}."


def optimize(model: nn.Module, *, fold: bool = True, compile: bool = False) -> nn.Module:
    """Freeze a model and lay it out for repeated forward and backward passes to its input.

    Args:
        model: A classifier or an ensemble; changed in place.
        fold: Whether to fold each batch normalization into the convolution before it.
        compile: Whether to compile with ``torch.compile``; pays on a GPU, not on a CPU.

    Returns:
        The model: in eval mode, without gradients to its weights, in channels_last layout.
    """
    model.eval().requires_grad_(False)
    avoid_clones(model)
    if fold:
        fold_batch_norms(model)
    hasten_depthwise(model)
    if not compile:  # a compiler has ways of its own
        prepare_frozen(model)
        _join_clamps(model)
    model.to(memory_format=torch.channels_last)
    if compile:
        # An ensemble's members are called one by one, and may have a loss of their own. One graph for each size of a
        # batch: a graph for all sizes would take the place of the first once there is a second size, so that results
        # depended on what the process had seen before.
        for network in model.members if isinstance(model, Ensemble) else [model]:
            network.compile(dynamic=False)
    return model


def keep_freed_memory() -> bool:
    """Let the process keep the memory of freed tensors for the next ones.

    glibc gives large blocks back to the system at once and gets them again page by page, which takes about a tenth of
    an attack on a CPU, and half of a forward pass of a hundred images. The process's memory then stays at its peak, so
    this is for jobs, not for libraries.

    Returns:
        Whether the C library could be told so; only glibc can.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return all(mallopt(parameter, value) == 1 for parameter, value in _MALLOC_SETTINGS)


def avoid_clones(model: nn.Module) -> None:
    """Let activations write to new memory where working in place would cost more.

    The backward pass of an in-place ReLU6 or SiLU needs the overwritten input, so autograd clones it first; a tenth
    of EfficientNet-Lite0's time. ReLU's backward pass needs the output alone.

    Args:
        model: Changed in place.
    """
    for module in model.modules():
        if getattr(module, "inplace", False) and not isinstance(module, nn.ReLU):
            setattr(module, "inplace", False)  # noqa: B010 - the attribute is not declared


def fold_batch_norms(model: nn.Module) -> int:
    """Fold each batch normalization that follows a convolution into that convolution's weights.

    A network whose forward pass torch.fx cannot trace is left as it is.

    Args:
        model: In eval mode; changed in place.

    Returns:
        How many were folded.
    """
    return sum(_fold_network(network) for network in _networks(model))


def _networks(model: nn.Module) -> list[nn.Module]:
    return [module.network for module in model.modules() if isinstance(module, Classifier)] or [model]


def _trace(network: nn.Module) -> fx.Graph | None:
    """Trace a forward pass; None if it has control flow, for all that is done with it is a matter of speed alone."""
    try:
        return _LayerTracer().trace(network)
    except Exception:
        return None


def _join_clamps(model: nn.Module) -> None:
    for network in _networks(model):
        if graph := _trace(network):
            join_clamps(network, graph)


def _fold_network(network: nn.Module) -> int:
    graph = _trace(network)
    if graph is None:
        return 0
    modules = dict(network.named_modules(remove_duplicate=False))
    # By the module itself: the same one may go by several names, and be called several times.
    calls = Counter(id(modules[str(node.target)]) for node in graph.nodes if node.op == "call_module")
    pairs = [pair for node in graph.nodes if (pair := _conv_and_norm(node, modules, calls))]
    for conv_name, norm_name in pairs:
        conv, norm = modules[conv_name], modules[norm_name]
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        conv.requires_grad_(False)
        # timm's batch normalizations carry the activation that follows.
        network.set_submodule(norm_name, getattr(norm, "act", nn.Identity()))
    return len(pairs)


class _LayerTracer(fx.Tracer):
    """Traces down to single layers, convolutions and normalizations of any library among them."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d | nn.BatchNorm2d) or not list(m.children())


def _conv_and_norm(node: fx.Node, modules: Mapping[str, nn.Module], calls: Counter[int]) -> tuple[str, str] | None:
    """Return the names of a convolution and of the batch normalization that alone reads its output."""
    source = node.args[0] if node.op == "call_module" and node.args else None
    if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) != 1:
        return None
    conv, norm = modules[str(source.target)], modules[str(node.target)]
    # Other kinds of convolution may transform their weight first, and a norm without statistics uses the batch's.
    foldable = type(conv) in (nn.Conv2d, Conv2dSame) and isinstance(norm, nn.BatchNorm2d)
    if not foldable or norm.running_mean is None or calls[id(conv)] > 1 or calls[id(norm)] > 1:
        return None
    return str(source.target), str(node.target)


def weights_sha256(model: nn.Module) -> str:
    """Return a digest of a model's weights, independent of the file that they came from.

    Pools that leave the padding out make another model of the same weights, so they count; auxiliary heads do not, for
    most answers are the main head's alone: :func:`auxiliary_sha256` is for the others.

    Args:
        model: Any module, before :func:`optimize`.

    Returns:
        64 hexadecimal digits.
    """
    digest = sha256()
    if any(isinstance(module, Classifier) and module.exclude_padding for module in model.modules()):
        digest.update(b"exclude_padding")
    _add_weights(digest, model, auxiliary=False)
    return digest.hexdigest()


def auxiliary_sha256(model: nn.Module) -> str | None:
    """Return a digest of the weights of a model's auxiliary heads, as :func:`weights_sha256`; None if it has none."""
    digest = sha256()
    return digest.hexdigest() if _add_weights(digest, model, auxiliary=True) else None


def _add_weights(digest: Any, model: nn.Module, *, auxiliary: bool) -> int:
    """Add the weights of auxiliary heads, or all others, to a digest; return how many tensors they are."""
    chosen = [(name, tensor) for name, tensor in model.state_dict().items() if (_AUXILIARY in name) == auxiliary]
    for name, tensor in sorted(chosen):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return len(chosen)
