import pytest
import torch
from torch import Tensor, nn

SIDE = 20


def tiny_network(seed: int) -> nn.Module:
    """Make a small random network in float64, smooth so that no two ways to compute it round to other signs."""
    torch.manual_seed(seed)
    layers = (nn.Conv2d(3, 6, 3, padding=1), nn.Softplus(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(600, 5))
    return nn.Sequential(*layers).double().eval()


@pytest.fixture
def network() -> nn.Module:
    """The first of the tiny networks."""
    return tiny_network(0)


@pytest.fixture
def images() -> Tensor:
    """Three images [3, 3, 20, 20] in [0, 1]."""
    return torch.rand(3, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels() -> Tensor:
    return torch.tensor([0, 3, 4])
