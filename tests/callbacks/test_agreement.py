"""When a surrogate is said not to agree with the labels."""

import pytest

from lit_adv.callbacks.agreement import doubt


@pytest.mark.parametrize(
    ("correct", "images", "num_classes", "doubted"),
    [
        (0, 20, 1000, True),
        (0, 19, 1000, False),  # too few to tell
        (50, 1000, 1000, True),  # labels that are off by one leave some right: neighboring classes are alike
        (51, 1000, 1000, False),
        (144, 1000, 10, True),
        (146, 1000, 10, False),
        (520, 1000, 2, True),
        (530, 1000, 2, False),
    ],
)
def test_near_chance_is_less_than_a_twentieth_of_the_way_from_chance_to_all(
    correct: int, images: int, num_classes: int, doubted: bool
) -> None:
    assert (doubt(correct, images, num_classes) is not None) == doubted


def test_the_warning_says_the_numbers_and_what_to_look_at() -> None:
    warning = doubt(3, 100, 1000)
    assert warning is not None
    assert "right about 3 of 100 clean images, which is near chance (0.1%)" in warning
    assert "do the labels number the classes as the surrogate does" in warning
