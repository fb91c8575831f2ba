"""What ``job.json`` says about the shards that stand beside it."""

from __future__ import annotations

from typing import Any, NamedTuple

from lit_adv.shards import storage
from lit_adv.shards.job import JOB_FILE, digest
from lit_adv.shards.labels import LabelReader


class RecordedJob(NamedTuple):
    """A generation job as its folder records it.

    Attributes:
        config: The whole record.
        fingerprint: Its digest.
        labels: Reads the input's labels.
        image_size: Side of the square images, in pixels.
        budget: Largest change of a pixel, in grey levels; None for any.
        image_format: File format of the images.
        clean_images: Whether the clean images are stored, too.
    """

    config: dict[str, Any]
    fingerprint: str
    labels: LabelReader
    image_size: int
    budget: int | None
    image_format: str
    clean_images: bool

    @property
    def extensions(self) -> set[str]:
        """Extensions of the files that every sample has."""
        clean = {f"clean.{self.image_format}"} if self.clean_images else set()
        return {self.image_format, "cls", "json"} | clean


def read_job(folder: str) -> RecordedJob:
    """Read ``job.json``.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it does not describe a generation job.
    """
    config = storage.read_json(storage.join(folder, JOB_FILE))
    try:
        data, output, budget = dict(config["data"]), dict(config["output"]), config["budget"]
        label_field = data["label_field"]
        texts = [output["format"], label_field]
        counts = [data[name] for name in ("batch_size", "image_size", "resize", "num_classes")]
        job = RecordedJob(
            config=config,
            fingerprint=digest(config),
            labels=LabelReader(num_classes=data["num_classes"], label_field=label_field),
            image_size=data["image_size"],
            budget=budget,
            image_format=output["format"],
            clean_images=output["clean_images"],
        )
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"it is no record of a generation job ({type(error).__name__}: {error})") from error
    if not (
        all(isinstance(text, str) for text in texts)
        and all(type(count) is int and 0 < count < 2**31 for count in counts)
        and (budget is None or (type(budget) is int and budget >= 0))
        and isinstance(job.clean_images, bool)
        and job.image_format in ("webp", "png")
    ):
        raise ValueError("it is no record of a generation job: a setting has a value of another type")
    return job
