"""Weights & Biases without an account, and what a run tells it of the shards it reads and makes."""

import hashlib
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wandb
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import WandbLogger

from lit_adv.shards import storage
from lit_adv.shards.attacked import AttackedFolder
from lit_adv.shards.manifest import MANIFEST_FILE
from lit_adv.shards.remote import redact

logger = logging.getLogger(__name__)

_LONGEST_NAME = 100  # of a folder within an artifact's name, for which W&B takes 128 characters

_DATA_FOLDER = "WANDB_DATA_DIR"  # W&B reads it whenever a file is added to an artifact
_OWN_DATA_FOLDERS: set[str] = set()  # its values that are ours, not the user's


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
        super().__init__(project=project, save_dir=save_dir, offline=offline, **kwargs)
        self._folder = Path(save_dir)
        self._prepared = False

    @property
    def experiment(self) -> Any:
        """The W&B run.

        Tracking must not end the work, so it is an offline one if the server cannot be reached, and one that keeps
        nothing if no file can be written.
        """
        try:
            if not self._prepared:
                _provide_home(self._folder)
                self._prepared = True
            return _keep_whole(self._start_run())
        except (wandb.errors.CommError, wandb.errors.UsageError) as error:
            logger.warning("W&B is out of reach (%s); logging offline", error)
            return _keep_whole(self._start_run_as("offline"))
        except OSError as error:
            logger.warning("W&B cannot write its files (%s); the run is not tracked by it", error)
            self._prepared = True
            return self._start_run_as("disabled")

    def _start_run_as(self, mode: str) -> Any:
        self._offline = True
        self._wandb_init["mode"] = mode  # W&B has read its environment variables already
        return self._start_run()

    def _start_run(self) -> Any:
        # W&B takes down the command line when a run starts; it gets one without credentials in URLs.
        arguments = sys.argv
        sys.argv = [redact(argument) for argument in arguments]
        try:
            return super().experiment
        finally:
            sys.argv = arguments


@contextmanager
def own_runs(trainer: Trainer) -> Iterator[None]:
    """End the W&B runs that the loggers of a Trainer start in the body, so that the next job does not join them.

    A run that lives before, as a caller's own, is left to whoever began it.
    """
    before = wandb.run
    exit_code = 1
    try:
        yield
        exit_code = 0
    finally:
        for logger in trainer.loggers:
            run = logger._experiment if isinstance(logger, WandbLogger) else None  # experiment would start one
            if run is not None and run is not before:
                run.finish(exit_code=exit_code)


def manifest_artifact(folder: str) -> wandb.Artifact:
    """Describe the shards by a copy of their manifest, so that a run is whole wherever it lies. The shards stay put.

    The artifact is called by the folder and by what its job's fingerprint begins with, since folders of the same name
    hold what several jobs made; wherever the folder lies, it is the same artifact.
    """
    manifest = _read_manifest(folder)
    last = redact(folder).rstrip("/").rsplit("/", 1)[-1][:_LONGEST_NAME]
    name = re.sub(r"[^\w.-]", "-", f"adversarial-{last}-{_fingerprint(folder, manifest)[:8]}", flags=re.ASCII)
    artifact = wandb.Artifact(name, type="dataset", metadata=_describe(folder, manifest))
    with artifact.new_file(MANIFEST_FILE, mode="wb") as file:
        file.write(manifest)
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
        use: {name: _describe(folder.path, _read_manifest(folder.path)) for name, folder in folders.items()}
        for use, folders in inputs.items()
    }
    logger.log_hyperparams({"inputs": described})
    if not logger.experiment.offline:  # W&B refuses it offline, and does not make up for it when the run is synced
        for path in sorted({folder.path for folders in inputs.values() for folder in folders.values()}):
            logger.experiment.use_artifact(manifest_artifact(path))
    return described


def _describe(folder: str, manifest: bytes) -> dict[str, str]:
    return {"path": redact(folder), "manifest_sha256": hashlib.sha256(manifest).hexdigest()}


def _fingerprint(folder: str, manifest: bytes) -> str:
    """Return the fingerprint of the job that made a folder, or a digest of its path where its manifest has none."""
    record = json.loads(manifest)
    known = record.get("fingerprint") if isinstance(record, dict) else None
    return known if isinstance(known, str) else hashlib.sha256(redact(folder).encode()).hexdigest()


def _read_manifest(folder: str) -> bytes:
    return storage.read_bytes([storage.join(folder, MANIFEST_FILE)])[0]


def _provide_home(save_dir: Path) -> None:
    """Let W&B keep its own files in ``save_dir`` where there is no home folder to write into.

    Raises:
        OSError: If ``save_dir`` cannot be written either.
    """
    save_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=save_dir):
        pass
    home = Path("~").expanduser()
    if home.is_dir() and os.access(home, os.W_OK):
        return
    own = str(save_dir.resolve() / "wandb-home")
    _OWN_DATA_FOLDERS.add(own)
    for variable in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", _DATA_FOLDER, "XDG_CACHE_HOME"):
        os.environ.setdefault(variable, own)


def _keep_whole(run: Any) -> Any:
    """Let W&B keep the files of an offline run's artifacts within the run's folder, unless the user says where.

    By default it keeps them in the home folder, and what is kept of the run's own folder could not be synced.
    """
    # Processes other than the first have a stand-in, of which every attribute is a method.
    if getattr(run, "offline", False) is True and os.environ.get(_DATA_FOLDER) in (None, *_OWN_DATA_FOLDERS):
        own = str(Path(run.dir).resolve().parent)  # not among the run's files, which are uploaded as they are
        _OWN_DATA_FOLDERS.add(own)
        os.environ[_DATA_FOLDER] = own
    return run


def _has_api_key() -> bool:
    """Tell whether W&B would find an API key, in the environment or in the netrc file, without asking for one."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(wandb.Settings().base_url).hostname
    try:
        return host is not None and netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, NetrcParseError):
        return False
