"""Labels and targets, and every kind of bad one."""

import pytest

from lit_adv.shards.labels import LabelReader
from lit_adv.shards.tar import SampleError


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "no class index: there is no cls file"),
        ({"cls": b"cat"}, "cls is not an integer: 'cat'"),
        ({"cls": b""}, "cls is not an integer"),
        ({"cls": b"1.0"}, "cls is not an integer"),
        ({"cls": b"9" * 5000}, "cls is not an integer"),
        ({"cls": b"\xff"}, "its cls is not text"),
        ({"cls": b"1000"}, r"cls 1000 is not in \[0, 1000\)"),
        ({"cls": b"-1"}, r"cls -1 is not in \[0, 1000\)"),
    ],
)
def test_a_bad_label_is_refused_with_the_reason(files: dict[str, bytes], reason: str) -> None:
    with pytest.raises(SampleError, match=reason):
        LabelReader().label(files)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"{", "json cannot be parsed"),
        (b"[" * 100_000, "json cannot be parsed"),
        (b"[1]", "no field 'label'"),
        (b"{}", "no field 'label'"),
        (b'{"label": true}', "label is not an integer"),
        (b'{"label": 1.5}', "label is not an integer"),
        (b'{"label": null}', "label is not an integer"),
        (b'{"label": 1000}', "label 1000 is not in"),
    ],
)
def test_bad_json_is_refused_with_the_reason(record: bytes, reason: str) -> None:
    with pytest.raises(SampleError, match=reason):
        LabelReader(label_field="label").label({"json": record})
