"""How far a training run is, in words."""

from __future__ import annotations

from lit_adv.cli.status import Status
from lit_adv.pages.training import VALIDATION, History, read_history, training_page
from lit_adv.shards.verify.report import printable


def look(folder: str) -> Status:
    """Look at a training run's folder; see :func:`lit_adv.pages.training.read_history`."""
    history = read_history(folder)
    complete = history.ended or history.done_epochs >= history.planned_epochs > 0
    return Status(
        "\n".join(map(printable, _lines(history))),
        complete,
        lambda refresh: training_page(folder, history, refresh),
    )


def _lines(history: History) -> list[str]:
    planned = f" of {history.planned_epochs}" if history.planned_epochs > 0 else ""
    ended = ", and the run has ended" if history.ended and history.done_epochs < history.planned_epochs else ""
    lines = [f"{'epochs':<30}{history.done_epochs}{planned} done{ended}"]
    for name, value in sorted(history.latest.items()):
        if name.startswith(VALIDATION):
            lines.append(f"{name:<30}{value:.1%}")
        elif name not in ("epoch", "step"):
            lines.append(f"{name:<30}{value:.4g}")
    for use, folders in history.sets.items():
        lines += [f"{use:<30}{name}: {folder['images']} images" for name, folder in folders.items()]
    return lines
