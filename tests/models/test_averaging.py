"""Averages of weights against a plain loop."""

import torch
from torch import nn

from lit_adv.models import interpolate


def test_weights_and_statistics_are_averaged_and_counters_kept() -> None:
    start, model = (nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).double() for _ in range(2))
    model(torch.rand(2, 3, 4, 4, dtype=torch.float64))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    averaged = interpolate(model, start, 0.3).state_dict()
    for name, value in before.items():
        expected = 0.7 * value + 0.3 * start.state_dict()[name] if value.is_floating_point() else value
        torch.testing.assert_close(averaged[name], expected)
        assert torch.equal(model.state_dict()[name], value)
