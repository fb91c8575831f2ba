"""What an evaluation leaves behind: tables and pictures in a folder, in the terminal and in W&B."""

import io
from collections.abc import Set
from fnmatch import fnmatch
from typing import Any

import torch
import wandb
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image
from torch import Tensor

from lit_adv.callbacks.evaluation_page import collect_evaluation
from lit_adv.callbacks.lookup import find_callback
from lit_adv.data.evaluation import PairBatch, read_pairs
from lit_adv.loggers import log_inputs
from lit_adv.outcomes import from_counts
from lit_adv.pages.evaluation import Evaluation, evaluation_page
from lit_adv.pages.kept_gallery import MOST_PICTURES, PassingPictures
from lit_adv.pictures import draw_examples, png_source, to_png
from lit_adv.report import Cell, heat_map, to_csv, to_json, to_markdown
from lit_adv.shards import publish, scratch, storage
from lit_adv.shards.attacked import AttackedFolder
from lit_adv.shards.counts import INDEX_FILE
from lit_adv.shards.job import canonical_json, digest
from lit_adv.shards.kept_counts import KeptCounts
from lit_adv.shards.remote import redact
from lit_adv.shards.storage import local_path

#: The page to look at, which takes the counts that are kept.
PAGE_FILE = "results.html"

#: What stands when all is counted, in the order of writing.
RESULTS_FILES = ("heat_map.png", PAGE_FILE, "results.md", "results.csv", "results.json")


class EvaluationReport(Callback):
    """Writes what an evaluation found, and logs it to W&B.

    The folder gets ``results.json`` and ``results.csv`` (one row for each pair of an attack and a target, with
    counts, rates and 95 % intervals), ``results.md`` (the paper's layout), ``results.html`` (a page to look at, see
    :mod:`lit_adv.pages.evaluation`; only where counts are kept), ``heat_map.png``, and for each attack
    ``examples_<attack>.png``. Those of an earlier run are removed at the start, so what is there is complete. The
    folder ``counts`` in it has all answers of all targets, see :mod:`lit_adv.shards.counts`; its ``index.json`` says
    which of them the results are of; ``gallery.json`` has the pictures of the page.

    The LightningModule offers the results as ``cells``, see :class:`lit_adv.report.Cell`, and what is counted as
    ``kept``, see :class:`lit_adv.shards.kept_counts.KeptCounts`; the data module the folders of shards as ``attacks``.

    Args:
        path: The folder for the results, local or remote.
        reference: Whether to put the paper's numbers beside the results where there are any.
        examples: How many images of each attack are drawn; 0 for no pictures.
        gallery: How many images the page shows, over all attacks, at least one of each; 0 for none, and at most
            :data:`lit_adv.pages.kept_gallery.MOST_PICTURES`. Where ``examples`` is 0, too, no image is kept or shown.

    Attributes:
        table: The content of ``results.md``; empty until the run has ended.

    Raises:
        ValueError: If a number is negative, or the page would be too large.
    """

    def __init__(self, path: str, reference: bool = False, examples: int = 6, gallery: int = 100) -> None:
        super().__init__()
        if min(examples, gallery) < 0 or gallery > MOST_PICTURES:
            raise ValueError(
                f"got report.examples {examples} and report.gallery {gallery}; both are at least 0, and a page of "
                f"more than {MOST_PICTURES} images is too large to open"
            )
        self.path = path
        self.reference = reference
        self.examples = examples
        self.gallery = gallery
        self.table = ""
        self._firsts: dict[str, tuple[Tensor, Tensor]] = {}  # clean and adversarial images

    @rank_zero_only
    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make sure that the results can be written before there are any, and remove those of an earlier run.

        What is to be counted is written at once, so that anyone can see how far the run is.
        """
        publish.prepare_folder(self.path)
        scratch.remove_stale_scratch(self.path)
        present = storage.list_names(self.path)
        for name in {*present.intersection(RESULTS_FILES), *self._stale_pictures(trainer, present)}:
            publish.remove(storage.join(self.path, name))
        module: Any = pl_module
        if module.kept is not None:
            publish.replace(storage.join(module.kept.folder, INDEX_FILE), canonical_json(_index(trainer, module)))
        self._passing = PassingPictures(trainer.datamodule.attacks, self.gallery)  # type: ignore[attr-defined]

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
        """Keep the first images of each attack for its picture, and those of the gallery, if they happen to come by."""
        if batch.shard == min(trainer.datamodule.attacks[batch.attack].shards):  # type: ignore[attr-defined]
            self._keep_first(batch)
        if self._passing.wants(batch.attack, batch.shard):
            pixels = (images.permute(0, 2, 3, 1).cpu().numpy() for images in (batch.clean, batch.adversarial))
            self._passing.see(batch.attack, batch.shard, batch.keys, *pixels)

    @rank_zero_only
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and log."""
        module: Any = pl_module
        cells: list[Cell] = module.cells
        self.table = to_markdown(cells, self.reference)
        pictures = self._draw(trainer, module.kept, cells[0].target)
        files = pictures | {"heat_map.png": heat_map(cells)}
        if module.kept is not None:
            files[PAGE_FILE] = evaluation_page(self._collect(trainer, module))
        files |= {"results.md": self.table.encode(), "results.csv": to_csv(cells), "results.json": to_json(cells)}
        for name, content in files.items():
            publish.replace(storage.join(self.path, name), content)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                self._log(logger, cells, files, trainer)

    def _draw(self, trainer: Trainer, kept: KeptCounts | None, target: str) -> dict[str, bytes]:
        """Return the picture files: the first images of each attack, with what a target makes of them.

        A picture that is there and shows just that is taken as it is, so that no shard needs to be read for it.
        """
        files: dict[str, bytes] = {}
        for attack, folder in self._drawn(trainer).items():
            name, first = _picture(attack), min(folder.shards)
            captions = _captions(kept, attack, first, target)[: self.examples]
            source = digest({"shard": folder.shards[first].sha256, "captions": captions, "examples": self.examples})
            files[name] = self._present(name)
            if png_source(files[name]) != source:
                if len(self._firsts.get(attack, ((),))[0]) < min(self.examples, folder.shards[first].samples):
                    self._firsts.pop(attack, None)
                    self._keep_first(next(iter(read_pairs([first], {attack: folder}, self.examples))))
                files[name] = to_png(draw_examples(*self._firsts[attack], captions), source)
        return files

    def _drawn(self, trainer: Trainer) -> dict[str, AttackedFolder]:
        """Return the folders of the attacks that get a picture of examples."""
        attacks: dict[str, AttackedFolder] = trainer.datamodule.attacks  # type: ignore[attr-defined]
        return attacks if self.examples else {}

    def _stale_pictures(self, trainer: Trainer, present: Set[str]) -> list[str]:
        """Return the names of pictures that this run does not make; others' files of such names are left alone."""
        others = present - set(map(_picture, self._drawn(trainer)))
        return [name for name in others if fnmatch(name, _picture("*")) and png_source(self._present(name))]

    def _collect(self, trainer: Trainer, task: Any) -> Evaluation:
        names = [target.name for target in task.targets]
        return collect_evaluation(
            task.cells,
            from_counts(task.kept.read(), names),
            trainer.datamodule.attacks,  # type: ignore[attr-defined]
            {target.name: target.weights for target in task.targets},
            path=self.path,
            reference=self.reference,
            gallery=self.gallery,
            seen=self._passing.pictures,
        )

    def _keep_first(self, batch: PairBatch) -> None:
        """Add to the first images of an attack as many of a batch of their shard as are still to be shown."""
        former = self._firsts.get(batch.attack, (batch.clean[:0].cpu(), batch.adversarial[:0].cpu()))
        more = slice(self.examples - len(former[0]))
        added = batch.clean[more].cpu(), batch.adversarial[more].cpu()
        self._firsts[batch.attack] = torch.cat([former[0], added[0]]), torch.cat([former[1], added[1]])

    def _present(self, name: str) -> bytes:
        try:
            return storage.read_bytes([storage.join(self.path, name)])[0]
        except FileNotFoundError:
            return b""

    def _log(self, logger: WandbLogger, cells: list[Cell], files: dict[str, bytes], trainer: Trainer) -> None:
        rows = [cell.row() for cell in cells]
        pictures = {name: Image.open(io.BytesIO(content)) for name, content in files.items() if name.endswith(".png")}
        logger.log_table("transfer", columns=list(rows[0]), data=[list(row.values()) for row in rows])
        logger.log_image("heat_map", [pictures.pop("heat_map.png")])
        if pictures:
            captions = [name.removeprefix("examples_").removesuffix(".png") for name in pictures]
            logger.log_image("examples", list(pictures.values()), caption=captions)
        if PAGE_FILE in files:
            logger.experiment.log({"page": wandb.Html(files[PAGE_FILE].decode(), inject=False)})
        log_inputs(logger, {"attacks": trainer.datamodule.attacks})  # type: ignore[attr-defined]


def _picture(attack: str) -> str:
    return f"examples_{attack}.png"


def _captions(kept: KeptCounts | None, attack: str, shard: str, target: str) -> list[str]:
    """Return what a target makes of a shard's images; nothing if that is not kept."""
    try:
        counted = next(iter(kept.read_some({(attack, shard): [target]})), None) if kept else None
    except FileNotFoundError:  # as where the number of batches is limited
        return []
    if counted is None or target not in counted.answers:  # they were damaged since
        return []
    return [f"{a} -> {b}" for a, b in zip(counted.images.labels, counted.answers[target].predictions, strict=True)]


def _index(trainer: Trainer, task: Any) -> dict[str, Any]:
    """Return what the results are to be of."""
    attacks: dict[str, AttackedFolder] = trainer.datamodule.attacks  # type: ignore[attr-defined]
    return {
        "attacks": {
            name: {"path": redact(folder.path), "shards": sorted(folder.shards)} for name, folder in attacks.items()
        },
        "targets": [target.name for target in task.targets],
    }


@rank_zero_only
def print_report(trainer: Trainer) -> None:
    """Print what an evaluation has found."""
    report = find_callback(trainer, EvaluationReport)
    print(f"\n{report.table}\nresults   {local_path(report.path) or redact(report.path)}")
    if PAGE_FILE in storage.list_names(report.path):
        page = storage.join(report.path, PAGE_FILE)
        print(f"page      {local_path(page) or redact(page)}")
