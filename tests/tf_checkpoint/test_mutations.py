"""No damage crashes the reader, takes its memory or changes a weight in silence.

``scripts/fuzz_checkpoints.py`` does the same ten thousand times.
"""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tf_checkpoint.damaged import KINDS, damage, read


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(rng=st.randoms())
def test_a_mutated_checkpoint_is_read_or_refused(
    kind: str, rng: Random, tmp_path_factory: pytest.TempPathFactory
) -> None:
    read(kind, damage(kind, tmp_path_factory.mktemp("damaged"), rng))
