"""The one shape every model has here: [0, 1] images in, logits over the data set's classes out."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_adv.models import pooling


class Classifier(nn.Module):
    """A network together with what its weights expect of an image.

    Attacks, defenses and evaluation all speak to this class, so normalization happens in exactly one place.

    Args:
        network: Maps normalized images [B, 3, H, W] to logits [B, class_offset + classes], or to these and
            those of an auxiliary head.
        mean: Per-channel mean that is subtracted, in units of [0, 1].
        std: Per-channel standard deviation that divides, in units of [0, 1].
        input_size: Side, in pixels, of the square images that the weights were made for.
        crop_ratio: Share of the shorter side that the weights' own evaluation crops to.
        class_offset: Leading logits to drop; 1 for weights with a background class (1001 outputs).
        resize: Whether images of another size are resized (bilinear, antialiased) to ``input_size``.
            Without it the network sees images as they come.
        bgr: Whether the network expects blue, green, red.
        exclude_padding: Whether the network is timm's Inception-v3 with weights of TensorFlow, see
            :mod:`lit_adv.models.pooling`.

    Attributes:
        background: Whether :meth:`attack_loss` is over all of the network's outputs, ``class_offset`` of them ahead of
            the classes that are told apart.
        aux_weight: Factor of the auxiliary head in :meth:`attack_loss`.
        own_settings: Whether :attr:`settings` are those of a user's code or file, where a model's name alone says
            others, or none; :func:`lit_adv.models.load_model` knows.

    Raises:
        ValueError: If ``exclude_padding`` is asked of another network.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        input_size: int = 224,
        crop_ratio: float = 0.875,
        class_offset: int = 0,
        resize: bool = False,
        bgr: bool = False,
        exclude_padding: bool = False,
    ) -> None:
        super().__init__()
        if exclude_padding:
            pooling.exclude_padding(network)
        self.network = network
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.input_size = input_size
        self.crop_ratio = crop_ratio
        self.class_offset = class_offset
        self.resize = resize
        self.bgr = bgr
        self.exclude_padding = exclude_padding
        self.background = False
        self.aux_weight = 0.0
        self.own_settings = True
        scale = 1 / torch.tensor(std).view(1, 3, 1, 1)
        # (x - mean) / std as one fused multiply-add: this runs T * m times an image.
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", -torch.tensor(mean).view(1, 3, 1, 1) * scale, persistent=False)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments, all but the network, that make an equal classifier."""
        names = ("mean", "std", "input_size", "crop_ratio", "class_offset", "resize", "bgr", "exclude_padding")
        return {name: getattr(self, name) for name in names}

    def adopt(self, settings: Mapping[str, Any]) -> None:
        """Expect of images, and do to the network, what settings say; whatever else is the classifier's stays.

        Args:
            settings: See :attr:`settings`; those that are left out get their defaults.
        """
        if self.exclude_padding:
            pooling.include_padding(self.network)
        other = Classifier(self.network, **settings)
        for name, value in other.settings.items():
            setattr(self, name, value)
        self.scale, self.shift = other.scale.to(self.scale), other.shift.to(self.shift)

    def forward(self, images: Tensor, heads: bool = False) -> Tensor | tuple[Tensor, ...]:
        """Classify images.

        Args:
            images: Float [B, 3, H, W] in [0, 1] (an attack's look-ahead point may leave that range).
            heads: Whether to return all outputs of all heads. It is an argument, and no method, so that a compiled
                classifier is compiled for it, too.

        Returns:
            Logits [B, classes]; or, for each head, the main one first, logits [B, class_offset + classes].
        """
        outputs = self.network(self._normalize(images))
        logits: tuple[Tensor, ...] = outputs if isinstance(outputs, tuple) else (outputs,)
        return logits if heads else logits[0][:, self.class_offset :]

    def head_logits(self, images: Tensor) -> list[Tensor]:
        """Classify images with every head.

        Args:
            images: As in :meth:`forward`.

        Returns:
            Logits [B, classes] of the main head, and of the auxiliary head if there is one.
        """
        return [logits[:, self.class_offset :] for logits in self(images, heads=True)]

    def loss_logits(self, images: Tensor) -> list[Tensor]:
        """Compute what :meth:`attack_loss` is over.

        Args:
            images: As in :meth:`forward`.

        Returns:
            Logits of the main head, and of the auxiliary head if it counts; with the background class if that counts.
        """
        if not self.background and not self.aux_weight:
            return [self(images)]
        logits = list(self(images, heads=True)) if self.background else self.head_logits(images)
        return logits if self.aux_weight else logits[:1]

    @property
    def label_offset(self) -> int:
        """Where a label stands among what :meth:`attack_loss` is over."""
        return self.class_offset if self.background else 0

    def attack_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy that an attack pushes.

        Args:
            images: As in :meth:`forward`.
            labels: int64 [B], in [0, classes).

        Returns:
            One loss for each image, [B], in float32 at least.
        """
        main, *auxiliary = self.loss_logits(images)
        loss = cross_entropy(main, labels + self.label_offset)
        for logits in auxiliary:
            loss = loss + self.aux_weight * cross_entropy(logits, labels + self.label_offset)
        return loss

    def features(self, images: Tensor) -> Tensor:
        """Compute the last feature maps, before they are pooled.

        Args:
            images: As in :meth:`forward`.

        Returns:
            What the network's ``forward_features`` returns, which every network of timm has.

        Raises:
            ValueError: If the network has no such method.
        """
        if not callable(forward_features := getattr(self.network, "forward_features", None)):
            raise ValueError(f"{type(self.network).__name__} has no method forward_features, as networks of timm have")
        features: Tensor = forward_features(self._normalize(images))
        return features

    def _normalize(self, images: Tensor) -> Tensor:
        """Return images as the network wants them."""
        if self.resize and images.shape[-2:] != (self.input_size, self.input_size):
            images = resize(images, self.input_size)
        if self.bgr:
            images = images.flip(1)
        return torch.addcmul(_like_rows(self.shift, images), images, _like_rows(self.scale, images))


def _like_rows(channels: Tensor, images: Tensor) -> Tensor:
    """Repeat one number a channel, [1, 3, 1, 1], along the rows of images if these are channels_last on a CPU.

    There the channels are the innermost loop, and one of three turns costs more than it computes; a row's is long.
    """
    if images.device.type != "cpu" or not images.is_contiguous(memory_format=torch.channels_last):
        return channels
    return channels.expand(-1, -1, -1, images.shape[-1]).contiguous(memory_format=torch.channels_last)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each image, [B], in float32 at least, for logits [B, classes] and labels [B]."""
    return F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels, reduction="none")


def resize(images: Tensor, size: int) -> Tensor:
    """Resize images to squares, bilinear and antialiased.

    On a GPU the backward pass of torch's own resizing adds atomically; two matrix products repeat bit for bit. On a CPU
    torch's repeats too, and is faster.

    Args:
        images: Float [B, C, H, W].
        size: Side of the result, in pixels.

    Returns:
        Float [B, C, size, size].
    """
    if images.device.type == "cpu":
        return F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    return resize_by_products(images, size)


def resize_by_products(images: Tensor, size: int) -> Tensor:
    """Resize as :func:`resize` does on a GPU."""
    with torch.autocast(images.device.type, enabled=False):
        rows, columns = (_resizing_matrix(images, side, size) for side in images.shape[-2:])
        return rows @ images @ columns.mT


def _resizing_matrix(like: Tensor, side: int, size: int) -> Tensor:
    """Return the linear map [size, side] that resizes one axis, with the type and device of a tensor."""
    identity = torch.eye(side, dtype=like.dtype, device=like.device)[None, None]
    return F.interpolate(identity, (size, side), mode="bilinear", antialias=True)[0, 0]


def to_float(images: Tensor) -> Tensor:
    """Return uint8 images [B, 3, H, W] as float32 in [0, 1], in the channels_last layout that networks are fast in."""
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)
