"""The page of a training run: losses, accuracies, the learning rate, and what it learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from lit_adv.pages.charts import Line, draw_lines
from lit_adv.pages.render import render
from lit_adv.shards import storage
from lit_adv.shards.remote import redact

HISTORY_FILE = "history.json"
#: What the names of a validation's numbers, and of the loss's terms, begin with.
VALIDATION, TERMS = "val/", "train/loss/"
_CONFIG = "config.yaml"
_CLEAN, _ROBUST = "val/clean_accuracy", "val/robust_accuracy"
_LOSS, _RATE, _SPEED = "train/loss", "learning_rate", "train/images_per_second"

Row = dict[str, float]


class History(NamedTuple):
    """What a training run has logged.

    Attributes:
        steps: For each logged step its numbers by name, with ``epoch`` (from 0) and ``step``.
        epochs: For each epoch that has ended, the numbers that are known at its end alone, with the same.
        sets: The folders of shards: for ``training`` and ``validation``, by name, their ``path`` and ``images``.
        planned_epochs: How many epochs the run is to have; not positive if that is not known.
        ended: Whether the run has come to its end, be it before them.
    """

    steps: list[Row]
    epochs: list[Row]
    sets: dict[str, dict[str, dict[str, Any]]]
    planned_epochs: int
    ended: bool = False

    @property
    def done_epochs(self) -> int:
        """How many epochs are done, whether or not each has left a row."""
        return int(self.epochs[-1]["epoch"]) + 1 if self.epochs else 0

    @property
    def latest(self) -> Row:
        """The latest value of each number."""
        return {name: value for row in [*self.epochs, *self.steps[-1:]] for name, value in row.items()}


def read_history(folder: str) -> History:
    """Read a run's history from its folder.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is damaged.
    """
    url = storage.join(folder, HISTORY_FILE)
    record = storage.read_json(url)
    damaged = ValueError(f"{redact(url)} is damaged")
    if not isinstance(record, dict) or {"ended", *record} != set(History._fields):  # older versions do not say
        raise damaged
    history = History(**record)
    if not (all(map(_are_rows, (history.steps, history.epochs))) and _are_sets(history.sets)):
        raise damaged
    return history


def _are_rows(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, dict)
        and {"epoch", "step"} <= row.keys()
        and all(isinstance(number, int | float) for number in row.values())
        for row in value
    )


def _are_sets(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(folders, dict)
        and all(isinstance(folder, dict) and folder.keys() == {"path", "images"} for folder in folders.values())
        for folders in value.values()
    )


def training_page(folder: str, history: History, refresh: float | None = None) -> bytes:
    """Return the page as an HTML file's content.

    Args:
        folder: URL of the run's folder, whose configuration is shown, too.
        history: What the run has logged.
        refresh: The number of seconds after which the page loads itself again; None for never.
    """
    best = max(history.epochs, key=lambda row: row.get(_ROBUST, -1.0), default={})
    names = sorted({name for row in history.epochs for name in row if name.startswith(VALIDATION)} - {_CLEAN, _ROBUST})
    shown = [name for name in (_CLEAN, _ROBUST, *names) if any(name in row for row in history.epochs)]
    losses = sorted({name for row in [*history.steps, *history.epochs] for name in row if name.startswith(_LOSS)})
    return render(
        "training",
        refresh=refresh,
        folder=redact(folder),
        history=history,
        latest=history.latest,
        best=best,
        names=shown,
        loss_chart=_chart([*history.steps, *history.epochs], losses, "loss", log_y=True),
        accuracy_chart=_chart(history.epochs, shown, "accuracy (%)", percent=True),
        rate_chart=_chart(history.steps, [_RATE], "learning rate"),
        speed_chart=_chart(history.steps, [_SPEED], "images/s", from_zero=True),
        configuration=_configuration(folder),
    )


def _chart(
    rows: Sequence[Mapping[str, float]],
    names: Sequence[str],
    y_label: str,
    percent: bool = False,
    log_y: bool = False,
    from_zero: bool = False,
) -> Markup | None:
    """Draw some numbers over the epochs, or over the steps where these were logged; None if there are not two."""
    scale, by_epoch = (100, True) if percent else (1, False)
    lines: dict[str, Line] = {}
    for name in names:
        points = [(row["epoch"] + 1 if by_epoch else row["step"], scale * row[name]) for row in rows if name in row]
        if len(points) > 1 or (points and by_epoch):
            x, y = zip(*points, strict=True)
            lines[name.removeprefix(VALIDATION).removeprefix("train/")] = (x, y)
    if not lines:
        return None
    positive = all(value > 0 for _, y in lines.values() for value in y)
    return draw_lines(
        lines,
        x_label="epoch" if by_epoch else "step",
        y_label=y_label,
        percent=percent,
        whole_x=True,
        markers=by_epoch,
        log_y=log_y and positive,
        from_zero=from_zero,
    )


def _configuration(folder: str) -> str:
    if _CONFIG not in storage.list_names(folder):
        return ""
    return storage.read_bytes([storage.join(folder, _CONFIG)])[0].decode()
