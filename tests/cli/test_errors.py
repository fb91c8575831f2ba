"""What the entry points say when something is wrong."""

from collections.abc import Iterator

import pytest
from torch.utils.data import DataLoader, IterableDataset

from lit_adv.cli.errors import plain_errors
from lit_adv.cli.main import run
from lit_adv.shards.attacked import DamagedShardsError
from lit_adv.shards.remote import StorageGoneError

URL = "s3://key:s3cr3t@bucket/a.tar?X-Amz-Signature=s1gn4tur3"


@pytest.mark.parametrize(
    ("error", "wanted", "start"),
    [
        (ValueError, False, "error: cannot use s3://***@bucket/a.tar?***\n"),
        (ValueError, True, "Traceback "),
        (RuntimeError, False, "Traceback "),
    ],
)
def test_a_message_shows_no_credentials_and_a_traceback_on_request_or_where_nothing_can_be_mended(
    error: type[Exception], wanted: bool, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIT_ADV_TRACEBACK", raising=False)
    if wanted:
        monkeypatch.setenv("LIT_ADV_TRACEBACK", "1")
    with pytest.raises(SystemExit) as end, plain_errors():
        raise error(f"cannot use {URL}")
    said = str(end.value.code)
    assert said.startswith(start)
    assert "cannot use s3://***@bucket/a.tar?***" in said
    assert "s3cr3t" not in said
    assert "s1gn4tur3" not in said


class Failing(IterableDataset[int]):
    """Data that raise an error as they are read."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __iter__(self) -> Iterator[int]:
        try:
            raise type(self.error)("the first try")
        except type(self.error) as first:
            raise self.error from first


@pytest.mark.parametrize(
    "error",
    [
        DamagedShardsError("1 of 2 shards are not those of its manifest.json:\n  a.tar: missing"),
        StorageGoneError("cannot read s3://bucket/a.tar for 40 s: TimeoutError: late"),
        ValueError("a.json is damaged"),
    ],
)
def test_an_error_of_a_worker_is_said_as_one_of_the_process_itself(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIT_ADV_TRACEBACK", raising=False)
    for workers in (0, 1):
        with pytest.raises(SystemExit) as end, plain_errors():
            list(DataLoader(Failing(error), batch_size=None, num_workers=workers))
        assert end.value.code == f"error: {error}\n(set LIT_ADV_TRACEBACK=1 to see where)"


def test_a_setting_that_is_refused_shows_no_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["test", f"--data.attacks={URL}"])
    said = capsys.readouterr().err
    assert "s3://***@bucket/a.tar?***" in said
    assert "s3cr3t" not in said
    assert "s1gn4tur3" not in said
