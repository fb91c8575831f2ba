"""Whether the surrogate and the labels agree."""

from __future__ import annotations

#: Fewer images say too little: of 20, a surrogate with an accuracy of 30 % gets none or one right in 1 run of 130.
_LEAST_IMAGES = 20
#: Share of the way from chance to all right. Neighboring classes of ImageNet are alike, so labels that are off by one
#: still make a good surrogate right about some images in a hundred; surrogates worth attacking are far above.
_SHARE_OF_THE_WAY = 0.05


def doubt(correct: int, images: int, num_classes: int) -> str | None:
    """Say so if a surrogate is right about so few clean images that it seems to number the classes otherwise.

    Near chance is an accuracy of less than 5 % of the way from chance to 1: 5.1 % for 1000 classes, 14.5 % for 10.

    Args:
        correct: Clean images that the surrogate classifies right.
        images: Of how many; of fewer than 20 nothing is said.
        num_classes: Labels lie in [0, num_classes).

    Returns:
        A warning, or None where there is no doubt.

    Example:
        >>> doubt(880, 1000, 1000) is None
        True
    """
    chance = 1 / num_classes
    if images < _LEAST_IMAGES or correct / images >= chance + _SHARE_OF_THE_WAY * (1 - chance):
        return None
    return (
        f"the surrogate is right about {correct} of {images} clean images, which is near chance ({chance:.1%}): do the "
        "labels number the classes as the surrogate does, and does it get the images that it expects? What is said to "
        "fool it means little otherwise"
    )
