"""Randomized smoothing, RS (Cohen et al., ICML 2019).

The smoothed classifier answers the class that the base classifier gives most often under Gaussian noise. It
abstains when the lead of the first class over the second could be chance, and it can certify an L2 radius within
which its answer does not change. Meant for a base classifier that was trained with the same noise.

As in the authors' code the noise is added to the image in [0, 1] and not clipped. Deliberately different: each
image's noise is drawn from its key, so a decision can be repeated; the authors' differs from run to run.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from scipy.stats import binomtest, norm
from torch import Tensor, nn

from lit_adv.defenses.base import ABSTAIN, Defense
from lit_adv.randomness import keyed_generator


class RandomizedSmoothing(Defense):
    """A smoothed classifier.

    Args:
        model: The base classifier.
        sigma: Standard deviation of the noise, in units of [0, 1].
        n: Noisy copies that vote on a prediction. The paper predicts with 100,000 or fewer; 100 is usual where
            many images are evaluated.
        alpha: Probability with which an answer (or a certificate) may be wrong.
        batch_size: Noisy copies that the model sees at once, which bounds the memory.
        seed: Seed of the noise.

    Raises:
        ValueError: If an option is out of range, or ``n`` votes could never be significant.
    """

    def __init__(
        self,
        model: nn.Module,
        sigma: float = 0.25,
        n: int = 100,
        alpha: float = 0.001,
        batch_size: int = 100,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 < sigma < math.inf:
            raise ValueError(f"sigma must be positive, not {sigma}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, not {batch_size}")
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")
        least = math.ceil(1 - math.log2(alpha))  # n votes for one class have probability 2 / 2^n by chance
        if n < least:
            raise ValueError(f"n is {n}, but must be {least} at least for alpha {alpha}: fewer votes always abstain")
        self.model = model
        self.sigma = sigma
        self.n = n
        self.alpha = alpha
        self.batch_size = batch_size
        self.seed = seed

    def scores(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Return the classes' votes among ``n`` noisy copies."""
        return self._votes(images, keys, self.n, "randomized smoothing: prediction").float()

    def predict(self, images: Tensor, keys: Sequence[str]) -> Tensor:
        """Decide, or abstain if the votes of the two leading classes do not differ significantly.

        Args:
            images: Float [B, 3, H, W] in [0, 1].
            keys: The B samples' keys.

        Returns:
            Classes, int64 [B]; :data:`ABSTAIN` where a two-sided binomial test between the leading two classes
            gives a p-value above ``alpha``.
        """
        votes, classes = self(images, keys).long().topk(2, dim=1)
        decided = [binomtest(a, a + b).pvalue <= self.alpha for a, b in votes.tolist()]
        return torch.where(torch.tensor(decided, device=images.device), classes[:, 0], ABSTAIN)

    def certify(self, images: Tensor, keys: Sequence[str], n0: int = 100, n: int = 100_000) -> tuple[Tensor, Tensor]:
        """Decide, and bound the L2 perturbation that the decision withstands.

        ``n0`` copies choose the class. Its probability is then bounded from below (Clopper-Pearson, one-sided) by
        its share of ``n`` fresh copies, and a bound p certifies the radius ``sigma * quantile(p)`` of the normal
        distribution.

        Args:
            images: Float [B, 3, H, W] in [0, 1].
            keys: The B samples' keys.
            n0: Noisy copies that choose the class.
            n: Noisy copies that bound its probability.

        Returns:
            Classes, int64 [B], and radii, float64 [B], in units of [0, 1]; where the bound is below 1/2 the class
            is :data:`ABSTAIN` and the radius 0. Each pair is right with probability ``1 - alpha``.
        """
        chosen = self._votes(images, keys, n0, "randomized smoothing: selection").argmax(1, keepdim=True)
        votes = self._votes(images, keys, n, "randomized smoothing: certificate").gather(1, chosen)[:, 0]
        bounds = [self._lower_bound(count, n) for count in votes.tolist()]
        certified = torch.tensor([bound >= 0.5 for bound in bounds], device=images.device)
        radii = torch.tensor(
            [self.sigma * float(norm.ppf(max(bound, 0.5))) for bound in bounds],
            dtype=torch.float64,
            device=images.device,
        )
        return torch.where(certified, chosen[:, 0], ABSTAIN), radii

    def _lower_bound(self, count: int, n: int) -> float:
        test = binomtest(count, n, alternative="greater")
        return float(test.proportion_ci(1 - self.alpha, method="exact").low)

    def _votes(self, images: Tensor, keys: Sequence[str], n: int, purpose: str) -> Tensor:
        """Count the classes given to n noisy copies of each image, int64 [B, classes]."""
        return torch.stack([self._image_votes(image, key, n, purpose) for image, key in zip(images, keys, strict=True)])

    def _image_votes(self, image: Tensor, key: str, n: int, purpose: str) -> Tensor:
        votes = torch.zeros((), dtype=torch.int64, device=image.device)
        for noise in self._noise(image, key, n, purpose):
            logits: Tensor = self.model(image + noise)
            votes = votes + torch.bincount(logits.argmax(1), minlength=logits.shape[1])
        return votes

    def _noise(self, image: Tensor, key: str, n: int, purpose: str) -> Iterator[Tensor]:
        """Yield the noise of n copies of one image, in batches; the numbers do not depend on the batches."""
        generator = keyed_generator(self.seed, purpose, key)
        for start in range(0, n, self.batch_size):
            copies = min(self.batch_size, n - start)
            noise = torch.from_numpy(generator.standard_normal((copies, *image.shape), dtype="float32"))
            yield noise.to(image.device) * self.sigma
