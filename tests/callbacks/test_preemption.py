"""A run whose machine is taken away, or one of whose processes dies, ends at once, in order, and can go on."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lit_adv.shards import scratch
from lit_adv.shards.verify import verify
from tests.test_generate import CONFIG, QUIET, ROOT, digests, run_tiny
from tests.tiny_shards import sample_files, tar_bytes

PACED = "--model.surrogate=import:tests.models_of_tests:paced"
TINY = (PACED, "--data.image_size=32", "--data.num_classes=10", "--data.batch_size=4", "--data.num_workers=0")


@contextmanager
def running(
    folder: Path, *extra: str, launcher: tuple[str, ...] = (), environment: dict[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """Start generate.py on the shards in ``folder``; its whole process group is gone afterwards."""
    arguments = (CONFIG, *QUIET, *TINY, f"--data.shards={folder}/tiny-*.tar", f"--output.path={folder}/adversarial")
    process = subprocess.Popen(
        [sys.executable, *launcher, str(ROOT / "generate.py"), *arguments, *extra],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:  # torchrun's workers are not of its process group; it ends them itself
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=40)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(folder: Path, pattern: str, process: "subprocess.Popen[str]") -> None:
    """Wait until a file is there."""
    deadline = time.monotonic() + 120
    while not any(folder.glob(pattern)):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def two_ranks(devices: int) -> tuple[str, ...]:
    return (f"--trainer.devices={devices}", "--trainer.strategy=ddp") if devices > 1 else ()


@pytest.fixture
def undisturbed(tmp_path: Path) -> dict[str, str]:
    """Digests of the four shards that an undisturbed run makes; its output is moved out of the way."""
    made = digests(run_tiny(tmp_path, PACED, shards=4))
    (tmp_path / "adversarial").rename(tmp_path / "undisturbed")
    return made


@pytest.mark.parametrize(
    ("number", "devices"), [(signal.SIGTERM, 1), (signal.SIGUSR1, 1), (signal.SIGTERM, 2)], ids=str
)
def test_a_signal_ends_the_run_in_order_and_the_next_one_completes_it(
    number: signal.Signals, devices: int, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    output = tmp_path / "adversarial"
    with running(tmp_path, *two_ranks(devices), environment={"TEST_SECONDS_A_PASS": "0.02"}) as process:
        wait_for(output, "tiny-*.json", process)
        process.send_signal(number)
        said = process.communicate(timeout=30)[0]
    assert process.returncode == 75, said
    assert "asked to stop: finished shards are kept; run the same command again" in said
    report = verify(str(output))
    assert report.faults == []
    assert 0 < len(report.whole) < 4
    assert digests(run_tiny(tmp_path, PACED, shards=4)) == undisturbed


def test_the_first_process_may_have_more_to_write_than_those_it_started(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"tiny-{number:06d}.tar").write_bytes(tar_bytes(sample_files(8, first=1000 * number)))
    arguments = (*two_ranks(2), "--trainer.callbacks+=tests.callbacks_of_tests.LongFarewell")
    with running(tmp_path, *arguments, environment={"TEST_SECONDS_A_PASS": "0.05"}) as process:
        wait_for(tmp_path / "adversarial", ".tiny-*.partial", process)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[0]
    assert process.returncode == 75, said


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_rank_that_fails_ends_the_job_at_once_with_its_error(rank: str, tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"tiny-{number:06d}.tar").write_bytes(tar_bytes(sample_files(200, first=1000 * number)))
    # The other rank has half an hour of work before it.
    slow = {"TEST_SECONDS_A_PASS": "1", "TEST_CRASHING_RANK": rank}
    with running(tmp_path, *two_ranks(2), environment=slow) as process:
        said = process.communicate(timeout=90)[0]  # returns when no process has the pipe any more
    assert process.returncode != 0
    assert "RuntimeError: the accelerator caught fire" in said


SLURM = {
    "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "generate", "SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1",
    "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
}  # fmt: skip


def test_under_slurm_weights_that_lightning_would_load_unasked_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in SLURM.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hpc_ckpt_1.ckpt").write_bytes(b"weights of another run")
    with pytest.raises(RuntimeError, match=r"hpc_ckpt_1\.ckpt over the weights; move it away"):
        run_tiny(tmp_path)
    (tmp_path / "hpc_ckpt_1.ckpt").unlink()
    assert len(digests(run_tiny(tmp_path))) == 2
    assert not list(tmp_path.glob("hpc_ckpt_*"))


def test_a_run_killed_at_random_moments_and_resumed_makes_the_bytes_of_an_undisturbed_one(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    output, moments = tmp_path / "adversarial", random.Random(0)
    for _ in range(3):
        with running(tmp_path, "--data.num_workers=1", environment={"TEST_SECONDS_A_PASS": "0.01"}) as process:
            assert process.stdout is not None
            assert any("shards are missing" in line for line in process.stdout)
            time.sleep(moments.uniform(0, 3))
            os.killpg(process.pid, signal.SIGKILL)
        left = [fault for fault in verify(str(output)).faults if not scratch.is_scratch(fault.name)]
        assert left == []
    assert digests(run_tiny(tmp_path, PACED, shards=4)) == undisturbed
    assert verify(str(output), f"{tmp_path}/tiny-*.tar").complete


def children(process: "subprocess.Popen[str]") -> list[int]:
    """Return the ids of a process's children."""
    return [int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def test_torchrun_restarts_after_a_lost_rank_and_the_bytes_are_those_of_one_process(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    output = tmp_path / "adversarial"
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1")
    # Else gloo finds the addresses of the lost round in torchrun's store.
    environment = {"TEST_SECONDS_A_PASS": "0.02", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    with running(tmp_path, launcher=launcher, environment=environment) as process:
        wait_for(output, "tiny-*.json", process)
        os.kill(children(process)[-1], signal.SIGKILL)
        said = process.communicate(timeout=200)[0]
    assert process.returncode == 0, said
    assert "exitcode: -9" in said
    assert digests(output) == undisturbed
    assert verify(str(output)).complete
