"""Real object storage that fails now and then, and storage that is gone for good."""

import errno
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.config import conf

from lit_adv.cli.verify import verify
from lit_adv.shards import publish, remote, storage
from lit_adv.shards.remote import StorageGoneError, is_passing, persist, redact
from tests import tiny_job, tiny_shards
from tests.flaky import flaky_proxy

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.filterwarnings("ignore:Couldn't infer the batch indices"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
]


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """A server that speaks S3."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def use_endpoint(url: str, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    """Configure fsspec's S3 as its configuration files and environment variables would."""
    monkeypatch.setitem(conf, "s3", {"endpoint_url": url, "key": "some-key-id", "secret": "some-secret", **settings})
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def upload(folder: Path, bucket: str) -> None:
    s3 = fsspec.filesystem("s3")
    s3.mkdir(bucket)
    for path in folder.glob("*.tar"):
        s3.pipe_file(f"{bucket}/{path.name}", path.read_bytes())


@pytest.mark.parametrize("workers", [0, 2])
def test_generation_over_a_bad_line_to_s3_makes_the_bytes_of_an_undisturbed_run(
    workers: int, s3_server: str, two_shards: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    tiny_job.generate(two_shards, str(tmp_path / "local"))
    use_endpoint(s3_server, monkeypatch)
    upload(tmp_path / "in", f"in{workers}")
    fsspec.filesystem("s3").mkdir(f"out{workers}")
    with flaky_proxy(s3_server) as proxy, caplog.at_level(logging.WARNING):
        use_endpoint(proxy.url, monkeypatch)
        monkeypatch.setattr(remote, "wait_random_exponential", lambda **_: lambda state: 0.01)
        tiny_job.generate(f"s3://in{workers}/*.tar", f"s3://out{workers}/made", num_workers=workers)
        assert verify([f"s3://out{workers}/made", "--source", f"s3://in{workers}"]) == 0
        assert proxy.dropped >= 3
        assert proxy.refused >= 3
    retries = [record.message for record in caplog.records if record.message.startswith("retry ")]
    assert any("ServiceUnavailable" in line or "later" in line for line in retries)
    numbers = [int(line.split()[1]) for line in retries]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    if not workers:  # a worker process logs its own; the HTTP client itself repeats some requests at once
        assert proxy.refused <= len(retries) <= proxy.dropped + proxy.refused
    assert "some-secret" not in caplog.text
    use_endpoint(s3_server, monkeypatch)
    for path in (tmp_path / "local").iterdir():
        if path.name in ("manifest.json", "job.json", "_info.json") or path.suffix == ".tar":
            assert storage.read_bytes([f"s3://out{workers}/made/{path.name}"]) == [path.read_bytes()]


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def web_server(tmp_path: Path) -> Iterator[str]:
    """A web server of the files in ``in``."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=str(tmp_path / "in"))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_shards_are_read_over_a_bad_line_from_a_web_server(web_server: str, two_shards: str, tmp_path: Path) -> None:
    tiny_job.generate(two_shards, str(tmp_path / "local"))
    with flaky_proxy(web_server, drop=3, refuse=4) as proxy:
        tiny_job.generate(f"{proxy.url}/shard-{{000000..000001}}.tar?signature=secret", str(tmp_path / "web"))
        assert proxy.dropped
    for name in ("shard-000000.tar", "shard-000001.tar", "manifest.json"):
        assert (tmp_path / "web" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 1.0)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_gone_ends_the_run_with_its_endpoint(two_shards: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://me:password@127.0.0.1:{free.getsockname()[1]}"
    use_endpoint(endpoint, monkeypatch)
    with pytest.raises(OSError, match=r"cannot look at s3://gone \(http://\*\*\*@127\.0\.0\.1:[0-9]+\) for 1 s"):
        tiny_job.generate(two_shards, "s3://gone/out")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.usefixtures("impatient")
def test_an_input_server_that_is_gone_ends_the_run_and_is_not_asked_for_shard_after_shard(
    workers: int, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(StorageGoneError, match=f"cannot read http://127.0.0.1:{port}/0.tar .* for 1 s"):
            tiny_job.generate(f"http://127.0.0.1:{port}/{{0..9}}.tar", str(tmp_path / "out"), num_workers=workers)


def test_an_endpoint_that_is_gone_is_tried_once_more_and_trusted_again_when_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "wait_random_exponential", lambda **_: lambda state: 0.01)
    faults: list[Exception] = []

    def operation() -> str:
        if faults:
            raise faults.pop()
        return "answer"

    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 0.0)
    faults += [ConnectionRefusedError()] * 2
    for _ in range(2):
        with pytest.raises(StorageGoneError):
            persist("read", "memory://x", operation)
    assert persist("read", "memory://x", operation) == "answer"
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 40.0)
    monkeypatch.setitem(remote._failing_since, "the default endpoint of MemoryFileSystem", time.monotonic() - 41)
    faults += [ConnectionRefusedError()]
    with pytest.raises(StorageGoneError):
        persist("read", "memory://x", operation)
    assert persist("read", "memory://x", operation) == "answer"
    faults += [ConnectionRefusedError()]
    assert persist("read", "memory://x", operation) == "answer"  # the clock starts anew


@pytest.mark.parametrize("folder", ["s3://mistyped/made", "s3://mistyped"])
def test_a_bucket_that_is_not_there_is_not_made_but_named(
    folder: str, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_endpoint(s3_server, monkeypatch)
    with pytest.raises(OSError, match=r"cannot write into the folder .*there is no s3://mistyped[^/]"):
        publish.prepare_folder(folder)
    assert not fsspec.filesystem("s3").exists("mistyped")


def test_a_file_that_does_not_arrive_whole_does_not_count_against_its_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "wait_random_exponential", lambda **_: lambda state: 0.01)

    def arrive_short() -> None:
        raise remote.IncompleteError("4 of 10 bytes arrived")

    with monkeypatch.context() as patch:
        patch.setattr(remote, "PATIENCE_SECONDS", 0.1)
        with pytest.raises(OSError, match="4 of 10 bytes arrived") as error:
            persist("read", "memory://short", arrive_short)
    assert not isinstance(error.value, StorageGoneError)
    monkeypatch.setattr(remote.time, "monotonic", lambda now=time.monotonic: now() + remote.PATIENCE_SECONDS)
    faults = [ConnectionResetError()]

    def hiccup() -> str:
        if faults:
            raise faults.pop()
        return "answer"

    assert persist("read", "memory://other", hiccup) == "answer"


def test_a_server_that_goes_for_good_in_the_middle_ends_the_run_within_a_minute_by_its_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    for number in range(8):
        (tmp_path / f"{number}.tar").write_bytes(tiny_shards.tar_bytes(tiny_shards.sample_files(6, first=10 * number)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    use_endpoint(endpoint, monkeypatch)
    patience, beyond = 4, 60 - remote.PATIENCE_SECONDS  # beyond it, the rest of the minute is for the last attempt
    environment = os.environ | {
        "FSSPEC_S3_ENDPOINT_URL": endpoint, "FSSPEC_S3_KEY": "some-key-id", "FSSPEC_S3_SECRET": "some-secret",
        "AWS_DEFAULT_REGION": "us-east-1", "OMP_NUM_THREADS": "1", "TEST_SECONDS_A_PASS": "0.3",
    }  # fmt: skip
    # As generate.py, but for a patience that a test need not sit out.
    script = (
        f"import sys; from lit_adv.cli.main import main; from lit_adv.shards import remote\n"
        f"remote.PATIENCE_SECONDS = {patience}; sys.exit(main())"
    )
    command = [
        *(sys.executable, "-c", script, "generate", "--model.surrogate=import:tests.models_of_tests:paced"),
        "--model.attack=fgsm",
        "--data.shards=s3://in-gone/*.tar", "--data.image_size=32", "--data.num_classes=10", "--data.batch_size=3",
        "--output.path=s3://in-gone/made", "--trainer.logger=false", "--trainer.accelerator=cpu",
    ]  # fmt: skip
    with subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stderr=subprocess.DEVNULL) as server:
        try:
            persist("look at", "s3://in-gone", lambda: fsspec.filesystem("s3").ls(""))  # until it is up
            upload(tmp_path, "in-gone")
            run = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
            while not any(
                name.endswith(".json") and name[0].isdigit() for name in storage.list_names("s3://in-gone/made")
            ):
                assert run.poll() is None, run.stderr.read()  # type: ignore[union-attr]
                time.sleep(0.2)
        finally:
            server.kill()
    gone = time.monotonic()
    said = run.communicate(timeout=240)[1]
    seconds = time.monotonic() - gone
    print(f"the run ended {seconds:.1f} s after the server")
    assert run.returncode == 1
    assert f"({endpoint}) for {patience} s" in said
    assert "some-secret" not in said
    assert seconds < patience + beyond


@pytest.mark.usefixtures("impatient")
def test_a_server_that_never_answers_ends_the_run_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        use_endpoint(f"http://127.0.0.1:{port}", monkeypatch, config_kwargs={
            "read_timeout": 1, "retries": {"total_max_attempts": 1}})  # fmt: skip
        with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
            storage.list_names("s3://silent/out")


@pytest.mark.usefixtures("impatient")
def test_a_file_that_never_arrives_whole_is_an_error_that_tells_no_secret(two_shards: str, web_server: str) -> None:
    place = r"cannot read http://\*\*\*@127\.0\.0\.1:[0-9]+/shard-000000\.tar\?\*\*\*"
    with flaky_proxy(web_server, drop=1) as proxy:
        url = f"{proxy.url.replace('//', '//me:password@')}/shard-000000.tar?X-Amz-Signature=0a1b"
        with pytest.raises(OSError, match=place) as error, storage.staged(url):
            pass
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__
    assert "password" not in str(error.value)


def test_what_will_not_pass_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def fail(error: Exception) -> None:
        calls.append(1)
        raise error

    for kept in (FileExistsError("there"), FileNotFoundError("gone")):
        with pytest.raises(type(kept)):
            persist("read", "memory://x", lambda kept=kept: fail(kept))
    for error in (PermissionError("no"), ValueError("bad"), OSError(errno.ENOSPC, "full"), MemoryError()):
        with pytest.raises(OSError, match="cannot read memory://x"):
            persist("read", "memory://x", lambda error=error: fail(error))
    assert len(calls) == 6


def test_a_passing_fault_passes(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "wait_random_exponential", lambda **_: lambda state: 0)
    faults = iter([ConnectionResetError("reset"), TimeoutError(), OSError(errno.EBUSY, "SlowDown")])

    def operation() -> str:
        for fault in faults:
            raise fault
        return "done"

    with caplog.at_level(logging.WARNING):
        assert persist("read", "memory://x", operation) == "done"
    assert len(caplog.records) == 3
    assert "cannot read memory://x: ConnectionResetError: reset" in caplog.text


def test_local_operations_are_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError):
        persist("read", str(tmp_path), lambda: (_ for _ in ()).throw(ConnectionResetError()))


@pytest.mark.parametrize(("status", "passing"), [(500, True), (503, True), (429, True), (403, False), (400, False)])
def test_a_web_servers_status_tells_whether_a_fault_passes(status: int, passing: bool) -> None:
    error = Exception("no")
    error.status = status  # type: ignore[attr-defined]
    assert is_passing(error) == passing


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("see s3://key:secret@host/bucket and ftp://user@host", "see s3://***@host/bucket and ftp://***@host"),
        ("'https://host/a.tar?AWSAccessKeyId=A&Signature=b' is", "'https://host/a.tar?***' is"),
        ("no s3://host/b?sig=a.b: (see http://host/c?d=e)", "no s3://host/b?***: (see http://host/c?***)"),
        ("s3://bucket/shard-0?.tar and s3://b/0?/day=1/*.tar,", "s3://bucket/shard-0?.tar and s3://b/0?/day=1/*.tar,"),
        ("s3://bucket/0?.tar?X-Amz-Signature=a", "s3://bucket/0?***"),
        ("zip://a.tar::https://h/x.zip?t0ken az://c/x.tar?t0ken", "zip://a.tar::https://h/x.zip?*** az://c/x.tar?***"),
        ("timm:x@https://h/w.safetensors?size=299", "timm:x@https://h/w.safetensors?size=299"),
        ("https://h/w?size=299&sig=a https://h/w?t0ken", "https://h/w?*** https://h/w?***"),
        ("mail me@host about /a/b?c and s3://bucket/a@2x.tar", "mail me@host about /a/b?c and s3://bucket/a@2x.tar"),
    ],
)
def test_redaction_takes_credentials_and_nothing_else(text: str, redacted: str) -> None:
    assert redact(text) == redacted
    assert redact(redacted) == redacted
