"""Damage of every kind, from a generator of random numbers: Python's own, or one that hypothesis controls."""

from random import Random

from hypothesis import strategies as st


def mutations(content: bytes) -> st.SearchStrategy[bytes]:
    """Return hypothesis's strategy for damaged versions of a file."""
    return st.randoms().map(lambda rng: mutate(content, rng))


def mutate(content: bytes, rng: Random) -> bytes:
    """Flip, insert, remove, repeat or cut a few bytes."""
    mutated = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randint(0, len(mutated)), rng.choice([1, 2, 8, 512, 4096])
        kind = rng.choice(["flip", "digit", "insert", "remove", "repeat", "cut"])
        if kind == "flip" and at < len(mutated):
            mutated[at] ^= rng.randint(1, 255)
        elif kind == "digit":
            mutated[at : at + 1] = rng.choice([b"9", b"-", b"e", b"0", b"null", b"[", b"{", b'"'])
        elif kind == "insert":
            mutated[at:at] = rng.randbytes(rng.randint(1, 16))
        elif kind == "remove":
            del mutated[at : at + length]
        elif kind == "repeat":
            mutated[at:at] = mutated[at : at + length]
        elif kind == "cut":
            del mutated[at:]
    return bytes(mutated)
