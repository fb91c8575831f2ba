"""The translation kernel."""

import pytest
import torch
from scipy.ndimage import gaussian_filter

from lit_adv.attacks.kernel import convolve, gaussian_kernel


def test_the_paper_s_kernel_is_a_gaussian_of_one_pixel() -> None:
    taps = [0.0044, 0.0540, 0.2420, 0.3991, 0.2420, 0.0540, 0.0044]
    torch.testing.assert_close(gaussian_kernel(7).sum(0), torch.tensor(taps, dtype=torch.float64), rtol=0, atol=6e-5)
    assert gaussian_kernel(7).sum() == pytest.approx(1)


@pytest.mark.parametrize(("size", "sigma"), [(5, 2 / 3), (7, 1.0), (15, 7 / 3)])
def test_convolving_equals_scipy_s_gaussian_filter(size: int, sigma: float) -> None:
    gradient = torch.randn(2, 3, 21, 17, dtype=torch.float64)
    made = convolve(gradient, gaussian_kernel(size))
    expected = gaussian_filter(gradient.numpy(), sigma, mode="constant", radius=size // 2, axes=(2, 3))
    torch.testing.assert_close(made, torch.from_numpy(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [2, -1])
def test_an_even_or_negative_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="must be odd and positive"):
        gaussian_kernel(size)
