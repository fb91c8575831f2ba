"""Which precision a machine computes in by default."""

import pytest

from lit_adv import precision
from lit_adv.precision import fast_precision


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor : 0\nflags\t\t: fpu sse2 avx2 avx512f\n", "32-true"),
        ("processor : 0\nflags\t\t: fpu sse2 avx2 avx512f avx512_bf16 amx_bf16\n", "bf16-mixed"),
        ("processor : 0\nFeatures\t: fp asimd bf16 i8mm\n", "bf16-mixed"),
        ("processor : 0\nmodel name\t: bf16\n", "32-true"),
        (None, "32-true"),
    ],
)
def test_a_processor_without_bfloat16_of_its_own_computes_in_float32(
    cpuinfo: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: object) -> str:
        if cpuinfo is None:
            raise FileNotFoundError(path)
        return cpuinfo

    monkeypatch.setattr(precision.Path, "read_text", read)
    assert fast_precision("cpu") == expected


def test_other_accelerators_compute_in_float32() -> None:
    assert fast_precision("mps") == "32-true"
