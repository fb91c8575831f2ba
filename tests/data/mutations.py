"""Damage of every kind, for hypothesis."""

from hypothesis import strategies as st


@st.composite
def mutations(draw: st.DrawFn, content: bytes) -> bytes:
    """Flip, insert, remove, repeat or cut a few bytes."""
    mutated = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(mutated)))
        length = draw(st.sampled_from([1, 2, 8, 512, 4096]))
        kind = draw(st.sampled_from(["flip", "insert", "remove", "repeat", "cut"]))
        if kind == "flip" and at < len(mutated):
            mutated[at] ^= draw(st.integers(1, 255))
        elif kind == "insert":
            mutated[at:at] = draw(st.binary(min_size=1, max_size=16))
        elif kind == "remove":
            del mutated[at : at + length]
        elif kind == "repeat":
            mutated[at:at] = mutated[at : at + length]
        elif kind == "cut":
            del mutated[at:]
    return bytes(mutated)
