"""The batch scripts under a real SLURM: a cluster of this machine alone, with a task on each of two CPUs."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lit_adv.shards.verify import verify
from tests.callbacks import test_preemption
from tests.callbacks.test_preemption import TINY
from tests.test_generate import CONFIG, QUIET, ROOT, digests

undisturbed = test_preemption.undisturbed

SLURM_CONF = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
# Only this machine's root speaks to this cluster, so it needs neither munge nor control groups.
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
# A job is queued again when its last credential has expired; the default is two minutes, and this the least.
AuthInfo=cred_expire=5
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
StateSaveLocation={folder}
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
NodeName={host} NodeAddr=127.0.0.1 CPUs=2
PartitionName=all Nodes=ALL Default=YES
"""


class Job:
    """A job on the shards in a folder, two processes of one CPU each."""

    def __init__(self, folder: Path, *arguments: str, seconds_a_pass: float = 0.05) -> None:
        self.output, self._log = folder / "adversarial", folder / "log.txt"
        python = Path(sys.executable).parent
        environment = {
            **os.environ, "PATH": f"{python}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "PROCESSES_PER_NODE": "2",
            "TEST_SECONDS_A_PASS": str(seconds_a_pass),
        }  # fmt: skip
        settings = (CONFIG, *QUIET, *TINY, f"--data.shards={folder}/tiny-*.tar", f"--output.path={self.output}")
        command = ["sbatch", "--parsable", f"--output={self._log}", "--gpus-per-node=0", *arguments, *settings]
        self.id = subprocess.run(
            command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()

    @property
    def said(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    @property
    def record(self) -> str:
        return slurm("scontrol", "show", "job", self.id)

    def wait_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 180
        while not condition():
            assert time.monotonic() < deadline, self.record + self.said
            time.sleep(0.1)

    def wait_for_state(self, state: str) -> None:
        self.wait_until(lambda: f"JobState={state} " in self.record)

    def wait_for_the_first_shard(self) -> None:
        self.wait_until(lambda: any(self.output.glob("tiny-*.json")))


# Two tasks of one process, and one task of torchrun with two.
GANG = ("--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1", "scripts/slurm/gang.sbatch")
ARRAY = ("--array=0-0", "--cpus-per-task=2", "scripts/slurm/array.sbatch")


def slurm(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cluster of this machine; it and all its jobs are gone afterwards."""
    if shutil.which("slurmctld") is None or shutil.which("slurmd") is None:
        pytest.skip("needs slurmctld and slurmd (Debian's slurm-wlm)")
    if os.geteuid() != 0:
        pytest.skip("needs root, as slurmd does")
    folder = tmp_path / "slurm"
    folder.mkdir()
    configuration = folder / "slurm.conf"
    configuration.write_text(
        SLURM_CONF.format(host=socket.gethostname().split(".")[0], ports=free_ports(2), folder=folder)
    )
    monkeypatch.setenv("SLURM_CONF", str(configuration))
    with ExitStack() as stack:
        for daemon in ("slurmctld", "slurmd"):
            with (folder / f"{daemon}.log").open("w") as log:
                process = subprocess.Popen([daemon, "-D"], stdout=log, stderr=log)
            stack.callback(process.wait, timeout=60)
            stack.callback(process.terminate)
        wait_until_idle()
        yield
        slurm("scancel", "--user=root")
        wait_until_idle()


def wait_until_idle() -> None:
    deadline = time.monotonic() + 60
    command = ["sinfo", "--noheader", "--format=%t"]
    while subprocess.run(command, capture_output=True, check=False).stdout != b"idle\n":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [made.getsockname()[1] for made in sockets]


@pytest.mark.usefixtures("cluster")
def test_a_job_that_slurm_requeues_in_the_middle_completes_with_the_bytes_of_one_process(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    job = Job(tmp_path, *GANG)
    job.wait_for_the_first_shard()
    slurm("scontrol", "requeue", job.id)
    job.wait_for_state("PENDING")
    assert len(verify(str(job.output)).whole) < 4
    job.wait_for_state("COMPLETED")
    assert " Restarts=1 " in job.record
    assert digests(job.output) == undisturbed
    assert verify(str(job.output), f"{tmp_path}/tiny-*.tar").complete


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(("script", "status"), [(GANG, 75), (ARRAY, 1)], ids=["gang", "array"])
def test_a_job_that_is_told_of_its_time_limit_stops_in_order_and_is_queued_again(
    script: tuple[str, ...], status: int, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    job = Job(tmp_path, *script)
    job.wait_for_the_first_shard()
    slurm("scancel", "--batch", "--signal=USR1", job.id)  # as SLURM does for --signal=B:USR1@300
    job.wait_for_state("PENDING")
    assert "asked to stop: finished shards are kept; run the same command again" in job.said
    assert f"Exited with exit code {status}" in job.said
    report = verify(str(job.output))
    assert report.faults == []
    assert len(report.whole) < 4
    job.wait_for_state("COMPLETED")
    assert " Restarts=1 " in job.record
    assert digests(job.output) == undisturbed
    assert verify(str(job.output), f"{tmp_path}/tiny-*.tar").complete


@pytest.mark.usefixtures("cluster", "undisturbed")
def test_a_job_one_of_whose_tasks_fails_is_ended_and_not_queued_again(tmp_path: Path) -> None:
    job = Job(tmp_path, *GANG)
    job.wait_for_the_first_shard()
    _, *tasks = [line.split() for line in slurm("scontrol", "listpids", f"{job.id}.0").splitlines()]
    [victim] = [int(process) for process, *_, local, _ in tasks if local == "1"]
    os.kill(victim, signal.SIGINT)  # it exits with 1, as it does on an error
    job.wait_for_state("FAILED")
    assert len(verify(str(job.output)).whole) < 4


@pytest.mark.usefixtures("cluster", "undisturbed")
def test_a_job_that_is_canceled_stays_canceled(tmp_path: Path) -> None:
    job = Job(tmp_path, *ARRAY)
    job.wait_for_the_first_shard()
    slurm("scancel", job.id)
    wait_until_idle()
    assert "JobState=CANCELLED " in job.record
