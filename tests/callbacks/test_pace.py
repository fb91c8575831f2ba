"""The pace of an evaluation, as it is logged."""

from pathlib import Path

from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger

from lit_adv.callbacks.pace import Pace, Work


def test_what_is_logged_is_in_its_file_at_once(tmp_path: Path) -> None:
    """Whatever the number of images, which is the step of an evaluation's log: who watches reads the file."""
    trainer = Trainer(logger=CSVLogger(tmp_path), accelerator="cpu", enable_progress_bar=False)
    pace = Pace()
    for images in (160, 320):
        pace.works = [Work(images=images, seconds=2.0, seconds_waiting=1.0, seconds_working=1.0)]
        pace._log(trainer)
        [log] = tmp_path.glob("lightning_logs/*/metrics.csv")
        assert log.read_text().splitlines()[-1].count(str(images)) >= 1
