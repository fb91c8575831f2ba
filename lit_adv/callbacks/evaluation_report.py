"""What an evaluation leaves behind: tables and pictures in a folder, in the terminal and in W&B."""

import io
from typing import Any

import wandb
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from lit_adv.callbacks.evaluation_page import collect_evaluation
from lit_adv.callbacks.lookup import find_callback
from lit_adv.data.evaluation import PairBatch
from lit_adv.loggers import log_inputs
from lit_adv.pages.evaluation import Evaluation, evaluation_page
from lit_adv.pictures import draw_examples, to_png
from lit_adv.report import Cell, heat_map, to_csv, to_json, to_markdown
from lit_adv.shards import publish, storage
from lit_adv.shards.remote import redact
from lit_adv.shards.storage import local_path


class EvaluationReport(Callback):
    """Writes what an evaluation found, and logs it to W&B.

    The folder gets ``results.json`` and ``results.csv`` (one row for each pair of an attack and a target, with
    counts, rates and 95 % intervals), ``results.md`` (the paper's layout), ``results.html`` (a page to look at, see
    :mod:`lit_adv.pages.evaluation`), ``heat_map.png``, and for each attack ``examples_<attack>.png``. Files of an
    earlier run are replaced.

    The LightningModule offers the results as ``cells``, see :class:`lit_adv.report.Cell`, and ``outcomes``, see
    :class:`lit_adv.outcomes.Outcomes`, and its ``targets``; the data module the folders of shards as ``attacks``.

    Args:
        path: The folder for the results, local or remote.
        reference: Whether to put the paper's numbers beside the results where there are any.
        examples: How many images of each attack are drawn.
        gallery: How many images the page shows, over all attacks.

    Attributes:
        table: The content of ``results.md``; empty until the run has ended.
    """

    def __init__(self, path: str, reference: bool = False, examples: int = 6, gallery: int = 100) -> None:
        super().__init__()
        self.path = path
        self.reference = reference
        self.examples = examples
        self.gallery = gallery
        self.table = ""
        self._pictures: dict[str, Image.Image] = {}

    @rank_zero_only
    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make sure that the results can be written before there are any."""
        publish.prepare_folder(self.path)

    @rank_zero_only
    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: PairBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the first images of each attack, with what the first target makes of them."""
        if batch.attack in self._pictures:
            return
        shown = slice(self.examples)
        captions = [f"{a} -> {b}" for a, b in zip(batch.labels[shown], outputs[0][shown], strict=True)]
        self._pictures[batch.attack] = draw_examples(batch.clean[shown].cpu(), batch.adversarial[shown].cpu(), captions)

    @rank_zero_only
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and log."""
        cells: list[Cell] = pl_module.cells  # type: ignore[assignment]
        self.table = to_markdown(cells, self.reference)
        files = {
            "results.json": to_json(cells),
            "results.csv": to_csv(cells),
            "results.md": self.table.encode(),
            "results.html": evaluation_page(self._collect(trainer, pl_module)),
            "heat_map.png": heat_map(cells),
        }
        for attack, picture in self._pictures.items():
            files[f"examples_{attack}.png"] = to_png(picture)
        for name, content in files.items():
            publish.replace(storage.join(self.path, name), content)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.log({"page": wandb.Html(files["results.html"].decode(), inject=False)})
                self._log(logger, cells, Image.open(io.BytesIO(files["heat_map.png"])), trainer)

    def _collect(self, trainer: Trainer, task: Any) -> Evaluation:
        return collect_evaluation(
            task.cells,
            task.outcomes,
            trainer.datamodule.attacks,  # type: ignore[attr-defined]
            {target.name: target.weights for target in task.targets},
            path=self.path,
            reference=self.reference,
            gallery=self.gallery,
        )

    def _log(self, logger: WandbLogger, cells: list[Cell], picture: Image.Image, trainer: Trainer) -> None:
        rows = [cell.row() for cell in cells]
        logger.log_table("transfer", columns=list(rows[0]), data=[list(row.values()) for row in rows])
        logger.log_image("heat_map", [picture])
        logger.log_image("examples", list(self._pictures.values()), caption=list(self._pictures))
        log_inputs(logger, {"attacks": trainer.datamodule.attacks})  # type: ignore[attr-defined]


@rank_zero_only
def print_report(trainer: Trainer) -> None:
    """Print what an evaluation has found."""
    report = find_callback(trainer, EvaluationReport)
    page = storage.join(report.path, "results.html")
    print(f"\n{report.table}\nresults   {local_path(report.path) or redact(report.path)}")
    print(f"page      {local_path(page) or redact(page)}")
