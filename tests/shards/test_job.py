"""A folder belongs to one configuration."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_adv.shards.job import ConfigMismatchError, digest, register_job

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def test_the_same_settings_may_come_again(tmp_path: Path) -> None:
    for _ in range(2):
        register_job(str(tmp_path), {"a": {"b": (1, 2.5)}, "c": None})


def test_every_setting_that_differs_is_named_with_both_values(tmp_path: Path) -> None:
    recorded = {"model": {"attack": "dim", "steps": 10}, "names": ["a", "b", "c"], "old": 1, "same": 0}
    register_job(str(tmp_path), recorded)
    wanted = {"model": {"attack": "tim", "steps": 10}, "names": ["a", "c"], "new": {"x": None}, "same": 0}
    with pytest.raises(ConfigMismatchError) as error:
        register_job(str(tmp_path), wanted)
    assert str(error.value).splitlines() == [
        f"{tmp_path} belongs to a job with other settings:",
        '  model.attack: "dim" there, "tim" now',
        '  names[1]: "b" there, "c" now',
        '  new: absent there, {"x": null} now',
        "  old: 1 there, absent now",
        "Use those settings, choose another folder, or delete this one.",
    ]


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_a_fingerprint_ignores_the_order_of_settings(config: dict[str, object]) -> None:
    assert digest(config) == digest(dict(reversed(config.items())))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_damaged_record_is_named_with_the_remedy(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"^{tmp_path}/job\.json is damaged, for it is no JSON .*; remove it and run again"
    ):
        register_job(str(tmp_path), {})
