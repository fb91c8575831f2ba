"""Finding one of the Trainer's callbacks."""

from typing import Any, TypeVar

from lightning.pytorch import Callback, Trainer

C = TypeVar("C", bound=Callback)


def find_callback(trainer: Trainer, kind: type[C]) -> C:
    """Return the Trainer's first callback of some class.

    Raises:
        LookupError: If there is none.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]  # the Trainer sets it without declaring it
    for callback in callbacks:
        if isinstance(callback, kind):
            return callback
    raise LookupError(f"the Trainer has no {kind.__name__} among its callbacks")
