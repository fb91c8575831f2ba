"""An attack that configuration alone puts together, as a job that is killed, goes on, and is repeated."""

import os
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import yaml

from lit_adv.cli.generate import generate as main
from tests.tiny_attacks import make_attacked

ROOT = Path(__file__).parents[1]
OPTIONS = (
    "{views: [{scale: 5}, {diverse: 0.5}, {bsr: {blocks: 2, rotation: 24}}], direction: vni, kernel_size: 7, "
    "loss: logit, steps: 2, copies_a_step: 2}"
)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.tar"))}


def kill_after_the_first_shard(config: Path, output: Path) -> None:
    """Start a job in a process of its own, and kill it while it makes its second shard."""
    command = [sys.executable, str(ROOT / "generate.py"), f"--config={config}", f"--output.path={output}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TEST_SECONDS_A_PASS": "0.03"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as job:
        end = time.monotonic() + 240
        while not digests(output):
            assert job.poll() is None, job.stderr and job.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.02)
        job.kill()
    assert job.returncode == -signal.SIGKILL


def test_views_and_a_direction_by_configuration_alone(tmp_path: Path) -> None:
    straight = make_attacked(
        tmp_path,
        "straight",
        "--model.surrogate=import:tests.models_of_tests:paced",
        f"--model.attack_options={OPTIONS}",
        "--data.batch_size=4",
        "--data.num_workers=0",
    )
    config = straight / "config.yaml"
    assert yaml.safe_load(config.read_text())["model"]["attack_options"] == yaml.safe_load(OPTIONS)

    resumed = tmp_path / "resumed"
    kill_after_the_first_shard(config, resumed)
    assert 0 < len(digests(resumed)) < 3
    main([f"--config={config}", f"--output.path={resumed}"])

    assert digests(resumed) == digests(straight)
    one, other = (yaml.safe_load((folder / "config.yaml").read_text()) for folder in (straight, resumed))
    assert one["model"] == other["model"]
