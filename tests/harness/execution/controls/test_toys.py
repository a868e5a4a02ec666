"""The tiny models: their distances against a solver, and which attacks they let pass."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize

from robcheck.harness.attacks import ATTACKS
from robcheck.harness.diagnosis.attack_unvalidated import CURVED, REACH, SHORT, Attempt, Toys, attack_unvalidated
from robcheck.harness.diagnosis.records import Probe, Records
from robcheck.harness.execution.toys import SAMPLES, Toy, problem, toys
from robcheck.harness.geometry import Norm
from robcheck.harness.model_info import ModelInfo
from robcheck.harness.request import Request

NORMS: tuple[Norm, ...] = ("linf", "l2", "l1")


def solved(toy: Toy, x: torch.Tensor, norm: Norm) -> float:
    """The distance of one sample by a solver that knows nothing of dual norms: weights and bounds alone."""
    a, n = toy.weights.double().numpy(), toy.weights.shape[1]
    lack = toy.bounds.double().numpy() - a @ (x.double().flatten().numpy() - 0.5)
    if norm == "l2":
        start = np.linalg.lstsq(a, lack, rcond=None)[0] * 1.1
        rows = {"type": "ineq", "fun": lambda d: a @ d - lack, "jac": lambda _: a}
        precise = {"ftol": 1e-14, "maxiter": 500}
        found = minimize(lambda d: d @ d, start, jac=lambda d: 2 * d, constraints=rows, method="SLSQP", options=precise)
        return float(np.sqrt(found.fun))
    both = np.hstack([a, -a])
    if norm == "l1":
        return float(linprog(np.ones(2 * n), A_ub=-both, b_ub=-lack).fun)
    limits = np.hstack([np.eye(2 * n), -np.ones((2 * n, 1))])
    least = np.hstack([-both, np.zeros((len(a), 1))])
    cost = np.r_[np.zeros(2 * n), 1.0]
    return float(linprog(cost, A_ub=np.vstack([limits, least]), b_ub=np.r_[np.zeros(2 * n), -lack]).fun)


@pytest.mark.parametrize("norm", NORMS)
def test_the_distance_is_the_solvers(norm: Norm) -> None:
    for toy in toys(norm):
        x = problem(toy, norm, 1.0, 0, targeted=False).x
        assert (toy(x).argmax(dim=1) == 0).all()
        expected = [solved(toy, each, norm) for each in x[:3]]
        assert toy.distance(x[:3], norm).tolist() == pytest.approx(expected, rel=1e-5)


def broken(config: dict[str, Any], toy: Toy, norm: Norm, share: float, *, targeted: bool = False) -> int:
    request = Request.model_validate({"name": "a", "config": config})
    asked = problem(toy, norm, share, 0, targeted=targeted)
    points = ATTACKS[request.config.attack].run(asked, request.config)
    assert asked.ball.contains(points).all()
    return int((toy(points).argmax(dim=1) == 1).sum())


SOUND = [
    {"attack": "pgd", "steps": 10},
    {"attack": "pgd", "steps": 40, "step_size": 0.0625},
    {"attack": "apgd", "loss": "ce", "steps": 25},
    {"attack": "pgd", "loss": "dlr", "targets": 9, "steps": 15},
]
WEAK = [
    {"attack": "fgsm"},
    {"attack": "pgd", "steps": 1},
    {"attack": "pgd", "steps": 40, "step_size": 0.000625},
]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("config", SOUND, ids=str)
def test_a_sound_attack_breaks_what_breaks(config: dict[str, Any], norm: Norm) -> None:
    linear, curved = toys(norm)
    assert broken(config, linear, norm, REACH) == SAMPLES
    assert broken(config, curved, norm, CURVED, targeted=True) == SAMPLES


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("config", WEAK, ids=str)
def test_a_weak_attack_misses_half_at_least(config: dict[str, Any], norm: Norm) -> None:
    linear, curved = toys(norm)
    assert broken(config, linear, norm, REACH) + broken(config, curved, norm, CURVED) <= SAMPLES
    assert broken(config, curved, norm, CURVED) == 0


@pytest.mark.parametrize("norm", NORMS)
def test_nothing_breaks_within_less_than_the_distance(norm: Norm) -> None:
    for toy in toys(norm):
        assert broken(SOUND[2], toy, norm, SHORT) == 0


def judged(*attempts: Attempt) -> list[tuple[str, str, float | None]]:
    records = Records(
        samples=1,
        evaluated=1,
        classes=2,
        clean_accuracy=1.0,
        probe=Probe(),
        info=ModelInfo(name="m", format="torch"),
        outcomes={"toys": Toys(samples=16, attempts=attempts)},
    )
    return [(f.code, f.severity, f.measured) for f in attack_unvalidated(records)]


def test_one_sound_gradient_attack_is_enough() -> None:
    good, bad = Attempt("good", True, 16, 16), Attempt("bad", True, 16, 8)
    square = Attempt("square", False, 16, 16)
    assert judged(good) == []
    assert judged(good, bad) == [("ATTACK_UNVALIDATED", "warning", 0.5)]
    assert judged(bad) == [("ATTACK_UNVALIDATED", "severe", 0.5)]
    assert judged(bad, square) == [("ATTACK_UNVALIDATED", "severe", 0.5)]
    assert judged(square) == []
    assert judged(Attempt("leaves its ball", True, 16, 16, impossible=2)) == [("ATTACK_UNVALIDATED", "severe", 2.0)]
