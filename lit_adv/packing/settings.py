"""What the user says about labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lit_adv.packing.imagenet import CLASS_COUNT

Classes = Literal["imagenet", "nips2017"]


@dataclass(frozen=True, kw_only=True)
class LabelSettings:
    """How labels are read.

    Attributes:
        classes: ``imagenet``: ImageNet-1k's own indices, of WordNet ids or as they are. ``nips2017``: the same, from
            the CSV file of the NIPS 2017 competition, whose labels and targets count from 1. None: any indices.
        image_column: The CSV file's column of image names; found by its name if None. So are the other two.
        label_column: Its column of labels.
        target_column: Its column of the classes that attacks are to aim at.
        label_offset: What is added to every label and target; by default -1 for ``nips2017``, else 0.
        skip_other: Whether images that cannot be packed, of other formats or beside the class folders, are left out;
            else they are refused.
    """

    classes: Classes | None = None
    image_column: str | None = None
    label_column: str | None = None
    target_column: str | None = None
    label_offset: int | None = None
    skip_other: bool = False

    @property
    def offset(self) -> int:
        """What is added to every label and target."""
        if self.label_offset is not None:
            return self.label_offset
        return -1 if self.classes == "nips2017" else 0

    @property
    def class_count(self) -> int | None:
        """Labels lie in [0, ``class_count``); None if they are not known to."""
        return None if self.classes is None else CLASS_COUNT

    def shift(self, index: int) -> int:
        """Return the class index that a written number stands for.

        Raises:
            ValueError: If it is no class.
        """
        label = index + self.offset
        if label < 0 or (self.class_count is not None and label >= self.class_count):
            classes = "0 or more" if self.class_count is None else f"in [0, {self.class_count})"
            with_offset = f" (with the offset {self.offset:+d})" if self.offset else ""
            one = label == self.class_count and not self.offset
            remedy = "; if they count from 1, add --label-offset -1" if one else ""
            raise ValueError(f"{index} is out of range: labels must be {classes}{with_offset}{remedy}")
        return label
