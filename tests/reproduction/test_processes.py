"""Jobs as processes: they are what a shell would start, end with their own status, and stop when they are asked to."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from lit_adv.errors import EXIT_STATUS
from lit_adv.reproduction.processes import start_command, start_function
from tests.tiny_attacks import LINEAR, SIZE
from tests.tiny_shards import sample_files, tar_bytes

ROOT = Path(__file__).parents[2]


def tell(arguments: Sequence[str]) -> int:
    """Say how this process was started; return the status that is asked for."""
    print(sys.argv, sys.modules["__main__"].__spec__.name, flush=True)  # type: ignore[union-attr]
    print("and an error", file=sys.stderr)
    return int(arguments[-1])


def wait(arguments: Sequence[str]) -> int:
    """Wait for half a minute."""
    Path(arguments[0]).write_text(str(os.getpid()))
    time.sleep(30)
    return 0


def leave(arguments: Sequence[str]) -> int:
    sys.exit("error: it has a reason")


def started(file: Path) -> int:
    """Wait until a process has written its number; return that."""
    deadline = time.monotonic() + 60
    while not (file.exists() and file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return int(file.read_text())


def test_a_process_has_the_command_s_arguments_and_its_output_is_kept(tmp_path: Path) -> None:
    process = start_command(tell, ["generate", "3"], tmp_path / "log")
    process.join(60)
    assert process.exitcode == 3
    said = (tmp_path / "log").read_text()
    assert "['lit-adv', 'generate', '3'] lit_adv.__main__" in said
    assert "and an error" in said


def test_an_error_is_said_and_ends_in_1(tmp_path: Path) -> None:
    process = start_command(leave, [], tmp_path / "log")
    process.join(60)
    assert process.exitcode == 1
    assert (tmp_path / "log").read_text() == "error: it has a reason\n"


def test_a_process_that_is_asked_to_stop_says_so_by_its_status(tmp_path: Path) -> None:
    process = start_command(wait, [str(tmp_path / "pid")], tmp_path / "log")
    assert started(tmp_path / "pid") == process.pid
    process.terminate()
    process.join(20)
    assert process.exitcode == EXIT_STATUS


def test_processes_stop_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from tests.reproduction.test_processes import wait\n"
        "from lit_adv.reproduction.processes import start_command\n"
        f"start_command(wait, ['{tmp_path}/pid'], Path('{tmp_path}/log')).join()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    child = started(tmp_path / "pid")
    parent.send_signal(signal.SIGKILL)
    parent.wait(20)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{child}").exists()


def test_a_function_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    process = start_function(Path.touch, tmp_path / "there")
    process.join(60)
    assert process.exitcode == 0
    assert (tmp_path / "there").exists()


def test_a_job_of_two_processes_makes_what_one_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning starts the second process by the command line that the first seems to have."""
    from lit_adv.cli.main import main

    monkeypatch.chdir(ROOT)
    (tmp_path / "in").mkdir()
    for number in range(2):
        shard = tmp_path / f"in/tiny-{number:06d}.tar"
        shard.write_bytes(tar_bytes(sample_files(3, first=100 * number)))
    made = []
    for processes in (1, 2):
        output = tmp_path / f"out{processes}"
        settings = [f"--model.surrogate={LINEAR}", "--model.attack=mi_fgsm", f"--output.path={output}"]
        data = [f"--data.shards={tmp_path}/in", f"--data.image_size={SIZE}", "--data.num_classes=10"]
        trainer = ["--trainer.accelerator=cpu", f"--trainer.devices={processes}", "--trainer.strategy=ddp"]
        log = tmp_path / "log"
        process = start_command(main, ["generate", *settings, *data, *trainer, "--trainer.logger=false"], log)
        process.join(120)
        assert process.exitcode == 0, log.read_text()
        made.append({path.name: path.read_bytes() for path in output.glob("*.tar")})
    assert "MEMBER: 2/2" in log.read_text()
    assert made[0] == made[1]
    assert len(made[0]) == 2
