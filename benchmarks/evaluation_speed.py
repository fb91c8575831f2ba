"""How fast one target is evaluated, against the bare model's forward passes on the same batches.

    python -m benchmarks.evaluation_speed SHARDS --target wheel:efficientnet_lite1 --num_workers 1

SHARDS is a finished folder of adversarial shards. Timed in turn: the whole evaluation, reading and decoding included,
and the same without its start-up, from the first batch to the end; the test step on batches in memory; the bare model
on these batches, adversarial and clean, as it was loaded; and the model made as fast as the evaluation makes it.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LambdaCallback
from torch import nn

from lit_adv.data.evaluation import EvaluationDataModule, PairBatch
from lit_adv.models import load_model, optimize, to_float
from lit_adv.tasks import EvaluationTask
from lit_adv.tasks.answers import Answers


def seconds(run: Callable[[], object]) -> float:
    """Time one call, waiting for the device."""
    started = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", help="folder of adversarial shards")
    parser.add_argument("--target", default="wheel:efficientnet_lite1")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--num_workers", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--precision", choices=["bf16-mixed", "32-true"], default="bf16-mixed")
    arguments = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = EvaluationDataModule({"attack": arguments.shards}, arguments.batch, arguments.num_workers)
    task = EvaluationTask([arguments.target])
    started: dict[int, float] = {}
    note_start = LambdaCallback(
        on_test_batch_start=lambda trainer, module, batch, number, *_: started.update({number: time.perf_counter()})
    )
    trainer = Trainer(
        accelerator="auto",
        callbacks=[note_start],
        devices=1,
        precision=arguments.precision,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
    )

    def evaluate() -> None:
        with redirect_stdout(StringIO()):
            trainer.test(task, data, verbose=False)

    evaluate()
    batches = [batch.to(device) for batch in data.test_dataloader()]
    task.to(device)
    bare_model = load_model(arguments.target).eval().to(device, memory_format=torch.channels_last)
    fast_model = optimize(load_model(arguments.target)).to(device)

    def test_steps() -> None:
        shown = {(batch.attack, batch.shard): [target.name for target in task.targets] for batch in batches}
        task.answers = Answers(task.targets, shown, None)  # else clean images would not be classified again
        over_batches(lambda batch: task.test_step(batch, 0))

    def classify(batch: PairBatch, model: nn.Module) -> None:
        for images in (batch.adversarial, batch.clean):
            model(to_float(images)).argmax(1)

    def over_batches(run: Callable[[PairBatch], object]) -> None:
        enabled = arguments.precision == "bf16-mixed"
        with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=enabled):
            for batch in batches:
                run(batch)

    runs: dict[str, Callable[[], None]] = {
        "evaluation": evaluate,
        "test step": test_steps,
        "bare model": lambda: over_batches(partial(classify, model=bare_model)),
        "optimized model": lambda: over_batches(partial(classify, model=fast_model)),
    }
    for run in runs.values():
        run()
    times = []
    for _ in range(arguments.repeats):
        began = time.perf_counter()
        measured = {name: seconds(run) for name, run in runs.items()}
        times.append(measured | {"from its first batch": measured["evaluation"] - (started[0] - began)})
    images = 2 * sum(map(len, batches))
    print(f"{arguments.target}, batch {arguments.batch}, {arguments.precision}, {device}, {images} images")
    for name in times[0]:
        rate = images / statistics.median(measured[name] for measured in times)
        bare, fast = (
            statistics.median(measured[model] / measured[name] for measured in times)
            for model in ("bare model", "optimized model")
        )
        print(
            f"{name:20} {rate:8.1f} images/s, {bare:.3f} of the bare model's speed, {fast:.3f} of the optimized one's"
        )


if __name__ == "__main__":
    main()
