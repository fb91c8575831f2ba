"""The gradient at the point itself (MI; Dong et al., 2018) or at the look-ahead point (NI; paper, section 3.2)."""

from dataclasses import dataclass
from typing import ClassVar

from lit_adv.attacks.directions.base import Direction, Run, Step


@dataclass(frozen=True)
class Plain(Direction):
    """One gradient a step."""

    @property
    def gradients(self) -> int:
        """One."""
        return 1

    def begin(self, run: Run) -> Step:
        """Take the gradient where the step starts."""
        return lambda start, point, t: run.gradient(point, step=t, number=0)


@dataclass(frozen=True)
class LookAhead(Plain):
    """One gradient a step, at the look-ahead point."""

    look_ahead: ClassVar = True
