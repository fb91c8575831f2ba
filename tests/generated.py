"""A small image problem that can be solved in two ways, one of which an attack destroys.

Each of four classes has a checkered texture, faint but on every image, and a bright quarter, plain to see but wrong
on every eighth image. Standard training learns the texture, which a perturbation of :data:`EPS` replaces with another
class's; the quarter is far brighter than that.
"""

import torch
from torch import Tensor, nn

from lit_adv.models import Classifier

SIDE, CLASSES = 16, 4
EPS = "8/255"
NETWORK = "import:tests.generated:network"


def network() -> Classifier:
    """A small convolutional network with batch normalization and dropout, the same on every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = SmallNetwork()
    return Classifier(layers, mean=[0.5] * 3, std=[0.25] * 3, input_size=SIDE)


class SmallNetwork(nn.Module):
    """Features and a head, as networks of timm have them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.1), nn.Linear(256, CLASSES))

    def forward_features(self, x: Tensor) -> Tensor:
        features: Tensor = self.body(x)
        return features

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.forward_features(x))
        return logits


def draw(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw images, uint8 [count, 3, SIDE, SIDE], and their labels, int64 [count]."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    wrong = torch.rand(count, generator=generator) < 1 / 8
    quarters = torch.where(wrong, torch.randint(CLASSES, (count,), generator=generator), labels)
    images = 110 + 4 * torch.randn(count, 3, SIDE, SIDE, generator=generator)
    half = SIDE // 2
    for image, label, quarter in zip(images, labels.tolist(), quarters.tolist(), strict=True):
        row, column = half * (quarter // 2), half * (quarter % 2)
        image[:, row : row + half, column : column + half] += 40
        image += 6 * _TEXTURES[label]
    return images.round().clamp(0, 255).to(torch.uint8).contiguous(memory_format=torch.channels_last), labels


def _textures() -> Tensor:
    """Return one pattern of -1 and 1 for each class, [CLASSES, 1, SIDE, SIDE]: no two have anything in common."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    signs = [rows, columns, rows + columns, rows // 2 + columns]
    return torch.stack([1.0 - 2 * (sign % 2) for sign in signs])[:, None]


_TEXTURES = _textures()
