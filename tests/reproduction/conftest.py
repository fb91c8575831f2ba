"""A zoo of names alone, for what loads no model."""

from pathlib import Path

import pytest

from lit_adv.reproduction.plan import Planner
from lit_adv.reproduction.zoo import Zoo


@pytest.fixture
def zoo() -> Zoo:
    """Two surrogates, of which the ensemble is made, a third target, and a defense around it."""
    return Zoo(
        image_size=16,
        models={"Inc-v3": "import:one:build", "Res-101": "import:two:build", "IncRes-v2ens": "import:three:build"},
        surrogates=["Inc-v3", "Res-101"],
        ensemble=["Inc-v3", "Res-101"],
        targets=["Inc-v3", "Res-101", "IncRes-v2ens"],
        alone={"Inc-v3": "import:one:alone"},
        together={},
        defenses={"R&P": {"defense": "rp", "model": "import:three:build", "iterations": 3}},
        attack_options={"cw": {"steps": 7, "search_steps": 2}},
        iterations=[4, 10],
        files={},
        optional=[],
    )


@pytest.fixture
def planner(zoo: Zoo, tmp_path: Path) -> Planner:
    return Planner(zoo, str(tmp_path / "clean"), tmp_path / "out", "group")
