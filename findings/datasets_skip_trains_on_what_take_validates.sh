#!/usr/bin/env bash
# Hugging Face datasets 5.2.0 (pyarrow 26.0.1, torch 2.13.0, numpy 2.4.6, Python 3.11): skip(n) trains on what take(n)
# validates, as soon as the two loaders have different numbers of workers.
#
# A streamed data set is split by take() and skip(). Each worker of a DataLoader reads some of the files, and n is divided
# among the workers: with four, each takes, or skips, the first n / 4 samples of its own files. So which samples skip(n)
# leaves out depends on num_workers. Validated in one process and trained with four workers, three quarters of the
# validation set are trained on, and as many other samples are in neither part. Scores with different numbers of workers
# are of different images. And where a worker's files hold fewer than its part of n, take(n) gives fewer than n samples.
# Nothing is said of any of it.
#
# Guess that fails: "take(100) and skip(100) are the first 100 and the rest".
# Output seen:
#   0 workers: take(100) gives 100; skip(100) gives 300, of them 0 of the 100 taken without workers
#   2 workers: take(100) gives 100; skip(100) gives 300, of them 50 of the 100 taken without workers
#   4 workers: take(100) gives 100; skip(100) gives 300, of them 75 of the 100 taken without workers
#   a small file first, 0 workers: take(100) gives 100
#   a small file first, 2 workers: take(100) gives 60
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet datasets==5.2.0 pyarrow==26.0.1 torch==2.13.0 numpy==2.4.6
cd "$folder"
cat > see.py <<'PYTHON'
import json
from pathlib import Path

import datasets
from torch.utils.data import DataLoader


def stream(name: str, lengths: list[int]) -> datasets.IterableDataset:
    """The numbers from 0 on, in files of these lengths."""
    files, number = [], 0
    for length in lengths:
        files.append(f"{name}-{len(files)}.jsonl")
        Path(files[-1]).write_text("".join(json.dumps({"n": n}) + "\n" for n in range(number, number + length)))
        number += length
    return datasets.load_dataset("json", data_files=files, split="train", streaming=True)


def numbers(part: datasets.IterableDataset, workers: int) -> list[int]:
    return [int(n) for batch in DataLoader(part, batch_size=10, num_workers=workers) for n in batch["n"]]


if __name__ == "__main__":
    even = stream("even", [100, 100, 100, 100])
    validated = numbers(even.take(100), 0)
    for workers in (0, 2, 4):
        taken, rest = numbers(even.take(100), workers), numbers(even.skip(100), workers)
        print(
            f"{workers} workers: take(100) gives {len(taken)}; skip(100) gives {len(rest)}, "
            f"of them {len(set(rest) & set(validated))} of the {len(validated)} taken without workers"
        )
    for workers in (0, 2):
        taken = numbers(stream("uneven", [10, 390]).take(100), workers)
        print(f"a small file first, {workers} workers: take(100) gives {len(taken)}")
PYTHON
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" -W ignore see.py > seen 2> log || { cat log; exit 1; }
cat seen
diff - seen <<'EXPECTED'
0 workers: take(100) gives 100; skip(100) gives 300, of them 0 of the 100 taken without workers
2 workers: take(100) gives 100; skip(100) gives 300, of them 50 of the 100 taken without workers
4 workers: take(100) gives 100; skip(100) gives 300, of them 75 of the 100 taken without workers
a small file first, 0 workers: take(100) gives 100
a small file first, 2 workers: take(100) gives 60
EXPECTED
