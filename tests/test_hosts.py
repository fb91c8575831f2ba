"""Two hosts: network namespaces joined by a cable, one torchrun in each, and the cable is pulled in the middle."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from lit_adv.shards.verify import verify
from tests.callbacks import test_preemption
from tests.callbacks.test_preemption import TINY, wait_for
from tests.test_generate import CONFIG, QUIET, ROOT, digests

SILENCE_SECONDS = 5

undisturbed = test_preemption.undisturbed


class Host(NamedTuple):
    """A network namespace with one interface, ``eth0``."""

    name: str
    address: str


def ip(*arguments: str) -> str:
    command = ["ip", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    """Two hosts joined by a cable; they and all that runs there are gone afterwards."""
    if shutil.which("ip") is None:
        pytest.skip("needs ip of iproute2")
    pair = [Host(f"lit-adv-{os.getpid()}-{number}", f"10.77.0.{number}") for number in (1, 2)]
    with ExitStack() as stack:
        for host in pair:
            try:
                ip("netns", "add", host.name)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"needs to be allowed network namespaces: {error.stderr.strip()}")
            stack.callback(remove, host)
        one, other = pair
        ip("link", "add", "eth0", "netns", one.name, "type", "veth", "peer", "name", "eth0", "netns", other.name)
        for host in pair:
            ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
            ip("-n", host.name, "link", "set", "lo", "up")
            set_cable(host, "up")
        yield pair


def remove(host: Host) -> None:
    for process in ip("netns", "pids", host.name).split():
        with suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)
    ip("netns", "delete", host.name)


def set_cable(host: Host, state: str) -> None:
    ip("-n", host.name, "link", "set", "eth0", state)


def start(hosts: list[Host], folder: Path, seconds_a_pass: float) -> list["subprocess.Popen[str]"]:
    """Start generate.py on the shards in ``folder``, one process on each host."""
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "eth0",
        "LIT_ADV_LOST_AFTER": str(SILENCE_SECONDS), "TEST_SECONDS_A_PASS": str(seconds_a_pass),
    }  # fmt: skip
    arguments = (CONFIG, *QUIET, *TINY, f"--data.shards={folder}/tiny-*.tar", f"--output.path={folder}/adversarial")
    runs = []
    for rank, host in enumerate(hosts):
        command = [
            "ip", "netns", "exec", host.name, sys.executable, "-m", "torch.distributed.run", "--nnodes=2",
            f"--node-rank={rank}", "--nproc-per-node=1", f"--master-addr={hosts[0].address}",
            str(ROOT / "generate.py"), *arguments,
        ]  # fmt: skip
        runs.append(
            subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
    return runs


def test_a_host_that_is_cut_off_ends_the_job_and_a_restart_makes_the_bytes_of_one_process(
    hosts: list[Host], tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    output = tmp_path / "adversarial"
    runs = start(hosts, tmp_path, seconds_a_pass=0.1)
    wait_for(output, "tiny-*.json", runs[0])
    set_cable(hosts[1], "down")
    for run in runs:
        said = run.communicate(timeout=60)[0]
        assert run.returncode == 1, said
        assert "another process of this run is lost" in said
    report = verify(str(output))
    assert report.faults == []
    assert len(report.whole) < 4  # else nobody noticed before the work was done

    set_cable(hosts[1], "up")
    for run in start(hosts, tmp_path, seconds_a_pass=0):
        said = run.communicate(timeout=120)[0]
        assert run.returncode == 0, said
    assert digests(output) == undisturbed
    assert verify(str(output), f"{tmp_path}/tiny-*.tar").complete
