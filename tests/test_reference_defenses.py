"""Known defenses fall to the gradient that fits them, as their undefended siblings do: n = 300, Linf 0.2, digits.

The rows are printed (`pytest -s -m slow tests/test_reference_defenses.py`); the script in `benchmarks/` prints more.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from robcheck.adapters.reference import REFERENCES

SAMPLES, EPS = 300, 0.2
FAR = {"k-wta": 0.1, "thermometer": 0.1, "adversarial-transformation": 0.1, "manifold": 0.1}
"""How far the others may stay above their siblings is five points."""
SHORT = {"random-crop", "total-variation", "adversarial-transformation"}
"""Slow to ask: one attack is enough to tell."""


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).parent / "benchmarks" / "reference_defenses.py"
    spec = importlib.util.spec_from_file_location("reference_defenses", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCES)
def test_the_gradient_that_fits_comes_as_low_as_on_the_sibling(name: str, benchmark: ModuleType) -> None:
    row = benchmark.measured(name, SAMPLES, EPS, [{**benchmark.PGD, "eot": 8}] if name in SHORT else None)
    print(f"\n{benchmark.HEAD}\n{row}")
    assert row.sibling.robust_accuracy < 0.1
    assert row.right.clean_accuracy > 0.9
    assert row.gap <= FAR.get(name, 0.05)
    for record in row.right.samples:
        # What counts as broken stays broken on fresh draws.
        assert record.outcome != "broken" or record.correct_rate is None or record.correct_rate < 0.5
