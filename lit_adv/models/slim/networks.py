"""The four networks of TensorFlow's slim that the paper attacks, computing what slim computes.

The three Inceptions are timm's, plus auxiliary heads; Inception-v3's pools need :mod:`lit_adv.models.pooling`, which
the classifier around it takes care of. ResNet-v2-101 is a network of its own: timm's of this name has no biases, and
its strides and its first pool's padding stand elsewhere.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import torch.nn.functional as F
from timm.layers import BatchNormAct2d, ConvNormAct, create_pool2d
from timm.models import InceptionResnetV2, InceptionV3, InceptionV4
from torch import Tensor, nn

#: slim asks for 1e-5, but TensorFlow 1's fused batch normalization raised it to cuDNN's least.
_RESNET_EPS = 1.001e-5
_INCEPTION_EPS = 1e-3


class _AuxiliaryPool(nn.Module):
    """The pool before an auxiliary head, whose next-but-one convolution covers all of what it gives."""

    def forward(self, maps: Tensor) -> Tensor:
        """Pool [B, C, 17 to 19, 17 to 19] to [B, C, 5, 5].

        Raises:
            ValueError: If the result has another size, for which the head has no weights.
        """
        pooled = F.avg_pool2d(maps, 5, 3)
        if pooled.shape[-2:] != (5, 5):
            raise ValueError(
                "the auxiliary head takes images of 299 to 346 pixels a side; append ?size=299 to the model, or leave "
                "out its option aux"
            )
        return pooled


class AuxiliaryHead(nn.Module):
    """The classifier that an Inception has in the middle.

    It is frozen: training is on the main logits alone.

    Args:
        channels: Channels of the maps that it reads.
        classes: How many classes it tells apart.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.pool = _AuxiliaryPool()
        self.conv0 = _conv(channels, 128, 1, eps=_INCEPTION_EPS)
        self.conv1 = _conv(128, 768, 5, eps=_INCEPTION_EPS)
        self.fc = nn.Linear(768, classes)
        self.requires_grad_(False)

    def forward(self, maps: Tensor) -> Tensor:
        """Classify maps [B, channels, 17 to 19, 17 to 19]; return logits [B, classes]."""
        logits: Tensor = self.fc(self.conv1(self.conv0(self.pool(maps))).flatten(1))
        return logits


class _WithAuxiliary(nn.Module):
    """An Inception that gives the logits of its auxiliary head, too, if it has one."""

    AuxLogits: AuxiliaryHead | None
    forward_head: Callable[[Tensor], Tensor]

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Classify images [B, 3, H, W]; return logits [B, classes], and those of the auxiliary head."""
        middle = self.forward_lower(images)
        logits = self.forward_head(self.forward_upper(middle))
        return logits if self.AuxLogits is None else (logits, self.AuxLogits(middle))

    def forward_lower(self, images: Tensor) -> Tensor:
        """Compute the maps that the auxiliary head reads."""
        raise NotImplementedError

    def forward_upper(self, maps: Tensor) -> Tensor:
        """Compute the last maps from those that the auxiliary head reads."""
        raise NotImplementedError


class _LastPool(nn.Module):
    """Inception-v3's last pool: a window of 8 x 8 with stride 2, of which a map of 9 x 9 holds one, at its top left.

    Larger maps, for which slim's network is not defined, are averaged as a whole.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Average [B, C, H, W] to [B, C]."""
        window = maps[:, :, :8, :8] if maps.shape[-2:] == (9, 9) else maps
        return F.adaptive_avg_pool2d(window, 1).flatten(1)


class SlimInceptionV3(_WithAuxiliary, InceptionV3):  # type: ignore[misc]  # timm has no types
    """Inception-v3."""

    forward_preaux: Callable[[Tensor], Tensor]
    forward_postaux: Callable[[Tensor], Tensor]

    def __init__(self, classes: int, auxiliary: bool) -> None:
        super().__init__(num_classes=classes)
        self.global_pool = _LastPool()
        self.AuxLogits = AuxiliaryHead(768, classes) if auxiliary else None

    def forward_lower(self, images: Tensor) -> Tensor:
        """See the base class."""
        return self.forward_preaux(images)

    def forward_upper(self, maps: Tensor) -> Tensor:
        """See the base class."""
        return self.forward_postaux(maps)


class SlimInceptionV4(_WithAuxiliary, InceptionV4):  # type: ignore[misc]  # timm has no types
    """Inception-v4."""

    features: nn.Sequential
    _MIDDLE = 18  # Mixed_7a among timm's features

    def __init__(self, classes: int, auxiliary: bool) -> None:
        super().__init__(num_classes=classes)
        self.AuxLogits = AuxiliaryHead(1024, classes) if auxiliary else None

    def forward_lower(self, images: Tensor) -> Tensor:
        """See the base class."""
        return _through(self.features[: self._MIDDLE], images)

    def forward_upper(self, maps: Tensor) -> Tensor:
        """See the base class."""
        return _through(self.features[self._MIDDLE :], maps)


class SlimInceptionResnetV2(_WithAuxiliary, InceptionResnetV2):  # type: ignore[misc]  # timm has no types
    """Inception-ResNet-v2."""

    _STEM = ("conv2d_1a", "conv2d_2a", "conv2d_2b", "maxpool_3a", "conv2d_3b", "conv2d_4a", "maxpool_5a")
    _LOWER = (*_STEM, "mixed_5b", "repeat", "mixed_6a", "repeat_1")
    _UPPER = ("mixed_7a", "repeat_2", "block8", "conv2d_7b")

    def __init__(self, classes: int, auxiliary: bool) -> None:
        super().__init__(num_classes=classes)
        self.AuxLogits = AuxiliaryHead(1088, classes) if auxiliary else None

    def forward_lower(self, images: Tensor) -> Tensor:
        """See the base class."""
        return _through(map(self.get_submodule, self._LOWER), images)

    def forward_upper(self, maps: Tensor) -> Tensor:
        """See the base class."""
        return _through(map(self.get_submodule, self._UPPER), maps)


class _Unit(nn.Module):
    """A bottleneck of ResNet-v2: what follows the pre-activation is added to it, or to the raw input.

    Args:
        channels_in: Channels of the input.
        width: Channels of the first two convolutions; the last has four times as many.
        stride: Of the second convolution, and of the shortcut's sub-sampling.
    """

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.preact = _norm(channels_in)
        self.shortcut = None if channels_in == 4 * width else nn.Conv2d(channels_in, 4 * width, 1)
        self.conv1 = _conv(channels_in, width, 1, eps=_RESNET_EPS)
        self.conv2 = _conv(width, width, 3, eps=_RESNET_EPS, stride=stride, padding=1)
        self.conv3 = nn.Conv2d(width, 4 * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        active = self.preact(x)
        shortcut = x[:, :, :: self.stride, :: self.stride] if self.shortcut is None else self.shortcut(active)
        residual: Tensor = self.conv3(self.conv2(self.conv1(active)))
        return residual + shortcut


class SlimResNetV2(nn.Module):
    """ResNet-v2-101; its modules are called as in slim.

    Args:
        classes: How many classes it tells apart.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.pool1 = create_pool2d("max", 3, stride=2, padding="same")
        self.block1 = _block(64, 64, units=3, stride=2)
        self.block2 = _block(256, 128, units=4, stride=2)
        self.block3 = _block(512, 256, units=23, stride=2)
        self.block4 = _block(1024, 512, units=3, stride=1)
        self.postnorm = _norm(2048)
        self.logits = nn.Conv2d(2048, classes, 1)

    def forward_features(self, images: Tensor) -> Tensor:
        """Compute the last maps, [B, 2048, H / 32, W / 32]."""
        blocks = (self.block1, self.block2, self.block3, self.block4)
        return _through((self.conv1, self.pool1, *blocks, self.postnorm), images)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images [B, 3, H, W]; return logits [B, classes]."""
        logits: Tensor = self.logits(F.adaptive_avg_pool2d(self.forward_features(images), 1))
        return logits.flatten(1)


def _block(channels_in: int, width: int, units: int, stride: int) -> nn.Sequential:
    """Stack units; the last takes the stride."""
    return nn.Sequential(
        OrderedDict(
            (f"unit_{n}", _Unit(channels_in if n == 1 else 4 * width, width, stride if n == units else 1))
            for n in range(1, units + 1)
        )
    )


def _conv(channels_in: int, channels_out: int, kernel: int, *, eps: float, **options: Any) -> nn.Module:
    """Make a convolution with batch normalization and ReLU, none of which pads unless told to."""
    options = {"padding": 0, **options, "norm_kwargs": {"eps": eps}, "act_kwargs": {"inplace": True}}
    layer: nn.Module = ConvNormAct(channels_in, channels_out, kernel, **options)
    return layer


def _norm(channels: int) -> nn.Module:
    """Make a batch normalization with ReLU that leaves its input alone, which the shortcut needs."""
    norm: nn.Module = BatchNormAct2d(channels, eps=_RESNET_EPS)
    return norm


def _through(modules: Iterable[nn.Module], x: Tensor) -> Tensor:
    for module in modules:
        x = module(x)
    return x


_INCEPTIONS: dict[str, Callable[[int, bool], nn.Module]] = {
    "inception_v3": SlimInceptionV3,
    "inception_v4": SlimInceptionV4,
    "inception_resnet_v2": SlimInceptionResnetV2,
}

#: The networks that are known.
NETWORKS = (*_INCEPTIONS, "resnet_v2_101")


def build_network(name: str, classes: int, *, auxiliary: bool = False) -> nn.Module:
    """Build a network with random weights.

    Args:
        name: One of :data:`NETWORKS`.
        classes: How many classes it tells apart, slim's background class among them.
        auxiliary: Whether it has its auxiliary head, and gives a pair of logits.

    Returns:
        A network for images [B, 3, H, W] in [-1, 1].

    Raises:
        ValueError: If there is no such network, or it has no auxiliary head.
    """
    if name not in NETWORKS:
        raise ValueError(f"slim's network {name!r} is not known; known: {', '.join(NETWORKS)}")
    if name in _INCEPTIONS:
        return _INCEPTIONS[name](classes, auxiliary)
    if auxiliary:
        raise ValueError(f"{name} has no auxiliary head: leave out the option aux")
    return SlimResNetV2(classes)
