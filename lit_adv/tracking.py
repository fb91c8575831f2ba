"""What a run shows while it works: a progress bar, metrics, example images, and the finished shards as an artifact."""

import hashlib
import io
import logging
import os
import re
import sys
from collections.abc import Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wandb
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from lit_adv.data import storage
from lit_adv.data.attacked import AttackedFolder
from lit_adv.data.batch import AdversarialBatch, ImageBatch
from lit_adv.data.evaluation import PairBatch
from lit_adv.data.manifest import MANIFEST_FILE
from lit_adv.data.remote import redact
from lit_adv.data.storage import local_path
from lit_adv.data.tally import Tally
from lit_adv.data.writer import RunObserver, ShardWriter
from lit_adv.pictures import draw_examples
from lit_adv.report import Cell, heat_map, to_csv, to_json, to_markdown
from lit_adv.telemetry import Failure, failures, metrics, table


class OfflineWandbLogger(WandbLogger):
    """A W&B logger that works without an account: where no API key is set, it logs offline and never asks.

    Args:
        project: The W&B project.
        save_dir: Folder of the local files; ``wandb sync`` uploads an offline run from there.
        offline: Whether to log offline; None decides by whether there is an API key.
        **kwargs: See :class:`lightning.pytorch.loggers.WandbLogger`.
    """

    def __init__(
        self, project: str = "lit_adv", save_dir: str = "logs", offline: bool | None = None, **kwargs: Any
    ) -> None:
        mode = os.environ.get("WANDB_MODE", "online")
        if offline is None:
            offline = mode != "disabled" and not _has_api_key()
        if offline:
            # Lightning only marks the logger; the mode keeps wandb itself from asking for a key.
            os.environ["WANDB_MODE"] = "offline"
        Path(save_dir).mkdir(parents=True, exist_ok=True)
        super().__init__(project=project, save_dir=save_dir, offline=offline, **kwargs)

    @property
    def experiment(self) -> Any:
        """The W&B run; an offline one if the server cannot be reached, since tracking must not end the work."""
        try:
            return self._start_run()
        except (wandb.errors.CommError, wandb.errors.UsageError) as error:
            logging.getLogger(__name__).warning("W&B is out of reach (%s); logging offline", error)
            self._offline = True
            self._wandb_init["mode"] = "offline"  # W&B has read its environment variables already
            return self._start_run()

    def _start_run(self) -> Any:
        # W&B takes down the command line when a run starts; it gets one without credentials in URLs.
        arguments = sys.argv
        sys.argv = [redact(argument) for argument in arguments]
        try:
            return super().experiment
        finally:
            sys.argv = arguments


class GenerationProgress(TQDMProgressBar):
    """A bar of images done, images a second and time left.

    The number of images to come is estimated from the shards opened so far, since counting them all would mean
    reading them all.
    """

    def init_predict_tqdm(self) -> Tqdm:
        """Return the bar, counting images."""
        return Tqdm(
            desc="Attacking",
            unit="img",
            disable=self.is_disabled,
            leave=True,
            dynamic_ncols=True,
            file=sys.stdout,
            smoothing=0.1,
        )

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the bar."""
        super().on_predict_start(trainer, pl_module)
        self._samples_of_shard: dict[str, int] = {}

    def on_predict_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Leave the bar alone: it counts images, not batches."""

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: AdversarialBatch,
        batch: ImageBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Advance by the batch's images."""
        self._samples_of_shard[batch.shard] = batch.shard_samples
        seen = self._samples_of_shard.values()
        shards = len(trainer.datamodule.assigned)  # type: ignore[attr-defined]
        self.predict_progress_bar.total = round(sum(seen) / len(seen) * shards)
        self.predict_progress_bar.update(len(batch) + len(batch.skipped))


class GenerationTracker(RunObserver):
    """Logs what a generation run does to the Trainer's loggers, from rank 0 for all processes.

    Every few seconds: :func:`lit_adv.telemetry.metrics`, and to W&B a table of the shards that failed, and why. Once: a
    picture of example images. At the end: the totals over all shards, and to W&B the manifest as a data set artifact,
    by reference.

    Args:
        examples: How many images the picture shows.
    """

    def __init__(self, examples: int = 6) -> None:
        super().__init__()
        self.examples = examples
        self._shown = False
        self._failures = 0

    def on_report(self, trainer: Trainer, tallies: list[Tally]) -> None:
        """Log how far all processes are."""
        values = metrics(tallies)
        failed = failures(tallies)
        for logger in trainer.loggers:
            logger.log_metrics(values, step=int(values["images"]))
            logger.save()  # Lightning's CSVLogger otherwise keeps its rows in memory to the end
            if isinstance(logger, WandbLogger) and len(failed) > self._failures:
                logger.log_table("failed_shards", columns=list(Failure._fields), data=[list(row) for row in failed])
        self._failures = len(failed)

    @rank_zero_only
    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: AdversarialBatch,
        batch: ImageBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Show the first images."""
        if len(outputs) and not self._shown:
            self._shown = True
            self._log_examples(trainer, outputs)

    @rank_zero_only
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the totals and the artifact."""
        writer = find_writer(trainer)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger) and writer.summary is not None:
                logger.experiment.summary.update({f"total/{k}": v for k, v in vars(writer.summary).items()})
                logger.experiment.log_artifact(manifest_artifact(writer.path))

    def _log_examples(self, trainer: Trainer, batch: AdversarialBatch) -> None:
        shown = slice(self.examples)
        captions = [f"{a} -> {b}" for a, b in zip(batch.source.labels[shown], batch.predictions[shown], strict=True)]
        picture = draw_examples(batch.source.images[shown], batch.images[shown], captions)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("examples", [picture])


class EvaluationProgress(TQDMProgressBar):
    """A bar that knows from the manifests how many batches there are."""

    @property
    def total_test_batches_current_dataloader(self) -> int | float:
        """How many batches this process reads."""
        batches: int = self.trainer.datamodule.batches  # type: ignore[attr-defined]
        return batches


class EvaluationReport(Callback):
    """Writes what an evaluation found, and logs it to W&B.

    The folder gets ``results.json`` and ``results.csv`` (one row for each pair of an attack and a target, with
    counts, rates and 95 % intervals), ``results.md`` (the paper's layout), ``heat_map.png``, and for each attack
    ``examples_<attack>.png``. Files of an earlier run are replaced.

    The LightningModule offers the results as ``cells``, see :class:`lit_adv.report.Cell`, the data module the folders
    of shards as ``attacks``.

    Args:
        path: The folder for the results, local or remote.
        reference: Whether to put the paper's numbers beside the results where there are any.
        examples: How many images of each attack are drawn.

    Attributes:
        table: The content of ``results.md``; empty until the run has ended.
    """

    def __init__(self, path: str, reference: bool = False, examples: int = 6) -> None:
        super().__init__()
        self.path = path
        self.reference = reference
        self.examples = examples
        self.table = ""
        self._pictures: dict[str, Image.Image] = {}

    @rank_zero_only
    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make sure that the results can be written before there are any."""
        storage.prepare_folder(self.path)

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
            "heat_map.png": heat_map(cells),
        }
        for attack, picture in self._pictures.items():
            files[f"examples_{attack}.png"] = _png(picture)
        for name, content in files.items():
            storage.replace(storage.join(self.path, name), content)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                self._log(logger, cells, Image.open(io.BytesIO(files["heat_map.png"])), trainer)

    def _log(self, logger: WandbLogger, cells: list[Cell], picture: Image.Image, trainer: Trainer) -> None:
        rows = [cell.row() for cell in cells]
        logger.log_table("transfer", columns=list(rows[0]), data=[list(row.values()) for row in rows])
        logger.log_image("heat_map", [picture])
        logger.log_image("examples", list(self._pictures.values()), caption=list(self._pictures))
        log_inputs(logger, {"attacks": trainer.datamodule.attacks})  # type: ignore[attr-defined]


def _has_api_key() -> bool:
    """Tell whether W&B would find an API key, in the environment or in the netrc file, without asking for one."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(wandb.Settings().base_url).hostname
    try:
        return host is not None and netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, NetrcParseError):
        return False


@rank_zero_only
def print_summary(trainer: Trainer) -> None:
    """Print what a generation run has made, and where its time went; nothing if it has not begun."""
    writer = find_writer(trainer)
    if not writer.tallies:
        return
    print(f"\n{table(writer.tallies)}\n")
    if (summary := writer.summary) is None:
        print(f"shards are still missing in {redact(writer.path)}; run the same command again to make them")
        return
    print(f"images    {summary.images} adversarial, {summary.skipped} skipped, in {summary.shards} shards")
    print(f"fooled    {summary.success_rate:.1%} of them fool the surrogate")
    print(f"change    {summary.linf_mean:.1f} grey levels at most (mean L-inf), {summary.l2_mean:.2f} in L2")
    print(f"shards    {local_path(writer.path) or redact(writer.path)}")


def find_writer(trainer: Trainer) -> ShardWriter:
    """Return the Trainer's shard writer."""
    return next(callback for callback in trainer.callbacks if isinstance(callback, ShardWriter))  # type: ignore[attr-defined]


@rank_zero_only
def print_report(trainer: Trainer) -> None:
    """Print what an evaluation has found."""
    report = find_report(trainer)
    print(f"\n{report.table}\nresults   {local_path(report.path) or redact(report.path)}")


def find_report(trainer: Trainer) -> EvaluationReport:
    """Return the Trainer's report of an evaluation."""
    return next(callback for callback in trainer.callbacks if isinstance(callback, EvaluationReport))  # type: ignore[attr-defined]


def manifest_artifact(folder: str) -> wandb.Artifact:
    """Describe the shards by their manifest: a reference to it, or a copy if it is remote. The shards stay put."""
    name = re.sub(r"[^\w.-]", "-", redact(folder).rstrip("/").rsplit("/", 1)[-1], flags=re.ASCII)
    artifact = wandb.Artifact(f"adversarial-{name}", type="dataset", metadata=_describe(folder))
    if local := local_path(folder):
        artifact.add_reference((local / MANIFEST_FILE).as_uri())
    else:
        with artifact.new_file(MANIFEST_FILE, mode="wb") as file:
            file.write(_read_manifest(folder))
    return artifact


def log_inputs(
    logger: WandbLogger, inputs: Mapping[str, Mapping[str, AttackedFolder]]
) -> dict[str, dict[str, dict[str, str]]]:
    """Tell W&B which shards a run reads: in its configuration, and unless it is offline, as its input artifacts.

    Args:
        logger: The run's.
        inputs: The folders by the user's names, for each use.

    Returns:
        What the configuration holds as ``inputs``: each folder's path and its manifest's digest.
    """
    described = {
        use: {name: _describe(folder.path) for name, folder in folders.items()} for use, folders in inputs.items()
    }
    logger.log_hyperparams({"inputs": described})
    if not logger.experiment.offline:  # W&B refuses it offline, and does not make up for it when the run is synced
        for path in sorted({folder.path for folders in inputs.values() for folder in folders.values()}):
            logger.experiment.use_artifact(manifest_artifact(path))
    return described


def _describe(folder: str) -> dict[str, str]:
    return {"path": redact(folder), "manifest_sha256": hashlib.sha256(_read_manifest(folder)).hexdigest()}


def _read_manifest(folder: str) -> bytes:
    return storage.read_bytes([storage.join(folder, MANIFEST_FILE)])[0]


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "png")
    return file.getvalue()
