"""A package that is missing or too old is named when something fails."""

import pytest

from lit_adv.cli import errors, requirements
from lit_adv.cli.errors import plain_errors


def test_nothing_is_wrong_here() -> None:
    assert requirements.unmet() == {}


def test_a_package_that_is_too_old_or_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "_lines", lambda: iter(["numpy>=99", "pillow>=1", "no-such-package[x]>=2"]))
    wrong = requirements.unmet()
    assert list(wrong) == ["numpy>=99", "no-such-package[x]>=2"]
    assert wrong["numpy>=99"].endswith("and lit_adv needs numpy>=99")
    assert wrong["no-such-package[x]>=2"] == "no-such-package is not installed"


def test_an_import_that_fails_says_which_package_is_too_old_and_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIT_ADV_TRACEBACK", raising=False)
    monkeypatch.setattr(errors, "unmet", lambda: {"lightning>=9": "lightning is 2.5 and lit_adv needs lightning>=9"})
    with pytest.raises(SystemExit) as end, plain_errors():
        raise ImportError("cannot import name 'new'")
    assert str(end.value.code).splitlines() == [
        "error: cannot import name 'new'",
        "lightning is 2.5 and lit_adv needs lightning>=9. Run: pip install --upgrade 'lightning>=9'",
    ]


def test_the_wheel_s_own_requirements_are_read_where_there_is_no_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "_FILE", requirements._FILE.with_name("none.txt"))
    monkeypatch.setattr(requirements, "requires", lambda name: ["torch>=99", "foolbox>=1; extra == 'demo'"])
    assert list(requirements.unmet()) == ["torch>=99"]
