"""High-level representation guided denoiser, HGD (Liao et al., CVPR 2018; first in the NIPS 2017 competition).

A U-net predicts the adversarial noise, which is taken off the image before the classifier sees it. It was trained
to keep the classifier's last feature maps as they are on the clean image.

As in the competition's code: the denoiser works on images normalized as its classifier wants them, and its output
is not clipped. Its authors ran PyTorch 0.2, whose bilinear upsampling aligned the corners, so ``align_corners``
is true by default; ports that leave it at today's default run another network.

The entry sums the logits of four classifiers at 299 x 299, each behind its own denoiser: Inception-v3 and
Inception-ResNet-v2 (mean and std 0.5), ResNet-152 and ResNeXt-101 (ImageNet's mean and std). With classifiers and
weights at hand that is ``ScoreSum([HGD(model, weights, mean, std), ...])``.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_adv.checkpoints import read_checkpoint
from lit_adv.defenses.base import Purifier

_ENCODER_UNITS = (2, 3, 3, 3, 3)
_ENCODER_WIDTHS = (64, 128, 256, 256, 256)
_DECODER_UNITS = (2, 3, 3, 3)
_DECODER_WIDTHS = (64, 128, 256, 256)
_FIRST_WEIGHT = "fwd.0.0.conv.weight"
_SOURCE = (
    "HGD needs a trained denoiser, passed as 'weights': train one with this project, or take a denoise_*.ckpt of "
    "https://github.com/lfz/Guided-Denoise (links in its README, or in TransferAttack's defense/hgd/README.md)"
)


class Denoiser(nn.Module):
    """The network that takes adversarial noise off an image ("DUNET").

    Five groups of convolutions go down to 1/16 of the size, four come back up and see the corresponding group
    beside what they upsample. The last, a 1x1 convolution, gives the negative noise.

    Its parameters are named as in the published checkpoints (``fwd.0.0.conv.weight`` ...).

    Args:
        mean: Per-channel mean that the classifier's normalization subtracts, in units of [0, 1].
        std: Per-channel standard deviation that it divides by, in units of [0, 1].
        align_corners: Whether the upsampling aligns the corners.

    Raises:
        ValueError: If ``mean`` or ``std`` are not three numbers, or a deviation is not positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            if len(values) != 3:
                raise ValueError(f"{name} must be three numbers, one for each channel, not {list(values)}")
        if min(std) <= 0:
            raise ValueError(f"std must be positive, not {list(std)}")
        self.align_corners = align_corners
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.fwd = nn.ModuleList(
            _group(channels_in, width, units, stride=1 if level == 0 else 2)
            for level, (channels_in, width, units) in enumerate(
                zip((3, *_ENCODER_WIDTHS), _ENCODER_WIDTHS, _ENCODER_UNITS, strict=False)
            )
        )
        from_below = (*_DECODER_WIDTHS[1:], _ENCODER_WIDTHS[-1])
        self.back = nn.ModuleList(
            _group(below + beside, width, units)
            for below, beside, width, units in zip(
                from_below, _ENCODER_WIDTHS, _DECODER_WIDTHS, _DECODER_UNITS, strict=False
            )
        )
        self.final = nn.Conv2d(_DECODER_WIDTHS[0], 3, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Denoise images.

        Args:
            images: Float [B, 3, H, W] in [0, 1].

        Returns:
            Float [B, 3, H, W]; not clipped.
        """
        features = (images - self.mean) / self.std
        skipped = []
        for group in self.fwd:
            features = group(features)
            skipped.append(features)
        features = skipped.pop()
        for group in reversed(self.back):
            beside = skipped.pop()
            features = F.interpolate(features, beside.shape[-2:], mode="bilinear", align_corners=self.align_corners)
            features = group(torch.cat([features, beside], dim=1))
        negative_noise: Tensor = self.final(features)
        return images + negative_noise * self.std


def _group(channels_in: int, width: int, units: int, stride: int = 1) -> nn.Sequential:
    """Stack 3x3 convolutions with batch normalization and ReLU; the first takes the stride."""
    return nn.Sequential(
        _unit(channels_in, width, stride),
        *(_unit(width, width) for _ in range(units - 1)),
    )


def _unit(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
            bn=nn.BatchNorm2d(channels_out),
            relu=nn.ReLU(inplace=True),
        )
    )


class HGD(Purifier):
    """A denoiser before a classifier.

    Args:
        model: The classifier to defend.
        weights: The denoiser's weights: a safetensors file or a torch checkpoint, this project's or a published
            ``denoise_*.ckpt`` (which holds its classifier too; only the denoiser is taken).
        mean: See :class:`Denoiser`.
        std: See :class:`Denoiser`.
        align_corners: See :class:`Denoiser`.

    Raises:
        FileNotFoundError: If no weights are given or the file is missing; the message says where to get them.
        ValueError: If the file does not hold a denoiser's weights, or ``mean`` or ``std`` are refused.
    """

    def __init__(
        self,
        model: nn.Module,
        weights: str | Path | None = None,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        align_corners: bool = True,
    ) -> None:
        super().__init__(model)
        if weights is None:
            raise FileNotFoundError(_SOURCE)
        self.denoiser = Denoiser(mean, std, align_corners)
        load_denoiser(self.denoiser, Path(weights))

    def purify(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Denoise; see :meth:`Purifier.purify`. Values may leave [0, 1] a little."""
        denoised: Tensor = self.denoiser(images)
        return denoised


def load_denoiser(denoiser: Denoiser, path: Path) -> None:
    """Fill a denoiser from a file.

    Args:
        denoiser: The network to fill.
        path: A ``.safetensors`` file or a torch checkpoint: a state dict, or a dictionary with ``state_dict``. The
            denoiser may be a part of a larger model in it.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file does not hold a denoiser of this shape.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. {_SOURCE}")
    try:
        denoiser.load_state_dict(_denoiser_part(read_checkpoint(path)))
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{path} does not hold a denoiser ({error}). {_SOURCE}") from error


def _denoiser_part(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the denoiser's entries of a state dict, under the denoiser's own names."""
    prefixes = sorted(name.removesuffix(_FIRST_WEIGHT) for name in state if name.endswith(_FIRST_WEIGHT))
    if not prefixes:
        raise ValueError(f"no entry ends in {_FIRST_WEIGHT}")
    prefix = prefixes[0]
    parts = tuple(prefix + part for part in ("fwd.", "back.", "final."))
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(parts)}
