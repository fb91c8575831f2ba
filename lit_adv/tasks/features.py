"""What a network sees on the way to its answer: the output of one of its layers."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def keep_features(network: nn.Module, layer: str | None) -> Iterator[list[Tensor]]:
    """Keep what a layer puts out meanwhile.

    Args:
        network: The network.
        layer: The layer's name in it, such as ``blocks.3``; None to keep nothing.

    Yields:
        A list that gets one output for each forward pass; one is expected meanwhile.

    Raises:
        ValueError: If the layer has not put out one tensor by the end.
    """
    kept: list[Tensor] = []
    if layer is None:
        yield kept
        return
    hook = network.get_submodule(layer).register_forward_hook(lambda module, inputs, output: kept.append(output))
    try:
        yield kept
    finally:
        hook.remove()
    if len(kept) != 1 or not isinstance(kept[0], Tensor):
        raise ValueError(
            f"feature_layer {layer!r} puts out {len(kept)} values a pass, or what is no tensor: name one that every "
            "pass goes through once"
        )


def feature_distance(teacher: Tensor, student: Tensor) -> Tensor:
    """Return each image's mean squared difference of features, in units of the variance of the teacher's.

    Args:
        teacher: Features [B, ...].
        student: Features of the same shape.

    Returns:
        Float [B].
    """
    reference = teacher.flatten(1).float()
    return (student.flatten(1).float() - reference).square().mean(1) / reference.var(1).clamp(min=1e-12)
