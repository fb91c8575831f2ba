"""What the entry points say when something is wrong."""

import pytest

from lit_adv.cli.errors import plain_errors
from lit_adv.cli.main import run

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


def test_a_setting_that_is_refused_shows_no_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["test", f"--data.attacks={URL}"])
    said = capsys.readouterr().err
    assert "s3://***@bucket/a.tar?***" in said
    assert "s3cr3t" not in said
    assert "s1gn4tur3" not in said
