"""The tables and figures in Weights & Biases, beside the runs of the jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lit_adv.loggers import OfflineWandbLogger
from lit_adv.reproduction.tables import Cell


def log_book(group: str, logs: str, tables: Mapping[str, Sequence[Cell]], pictures: Sequence[str]) -> None:
    """Log tables and figures as a run of the jobs' group; offline where there is no API key.

    Args:
        group: The group.
        logs: The folder of the local files.
        tables: The cells of each table.
        pictures: The figures' PNG files.
    """
    logger = OfflineWandbLogger(save_dir=logs, group=group, name="tables and figures")
    for name, cells in tables.items():
        logger.log_table(name, columns=list(Cell._fields), data=[list(cell) for cell in cells])
    for picture in pictures:
        logger.log_image(picture.rsplit("/", 1)[-1].removesuffix(".png"), [picture])
    logger.experiment.finish()
