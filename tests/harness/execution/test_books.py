"""The meter and the ledger: nothing is forgotten, nothing is counted twice, nothing gets better by itself."""

import pytest
import torch
from torch import Tensor

from robcheck.harness.execution.ledger import Ledger
from robcheck.harness.execution.meter import BudgetExhaustedError, Meter


def rows(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def test_the_meter_counts_per_sample_and_phase() -> None:
    seen: list[int] = []
    meter = Meter(4, on_pass=seen.append)
    meter.count("gradient", rows(0, 2, 2), forward=5, backward=5)
    meter.count("clean", rows(0, 1, 2, 3), forward=1)
    meter.count("replay", rows(), forward=3)
    totals = meter.totals()
    assert (totals.forward, totals.backward) == (19, 15)
    assert (totals.phases["gradient"].forward, totals.phases["gradient"].backward) == (15, 15)
    assert totals.phases["clean"].forward == 4
    assert [meter.sample(i).forward for i in range(4)] == [6, 1, 11, 1]
    assert [meter.sample(i).backward for i in range(4)] == [5, 0, 10, 0]
    assert seen == [30, 4, 0]


def test_the_budget_stops_attacks_and_nothing_else() -> None:
    meter = Meter(3, budget=10)
    meter.count("clean", rows(0, 1, 2), forward=100)
    meter.count("gradient", rows(0, 1, 2), forward=1, backward=1)
    meter.count("blackbox", rows(0, 1, 2), forward=1)
    with pytest.raises(BudgetExhaustedError):
        meter.count("gradient", rows(0), forward=1, backward=1)
    assert meter.totals().phases["gradient"].forward == 3
    meter.count("blackbox", rows(0), forward=1)
    with pytest.raises(BudgetExhaustedError):
        meter.count("blackbox", rows(0), forward=1)
    meter.count("replay", rows(0), forward=1)
    meter.count("controls", rows(0), forward=1)
    assert meter.spent == 10


def book(n: int = 5) -> Ledger:
    ledger = Ledger(torch.zeros(n, 2))
    ledger.seen[:] = True
    ledger.clean_rate[:] = ledger.rate[:] = 1.0
    ledger.score[:] = -torch.arange(n).float() - 1
    return ledger


def take(
    ledger: Ledger, where: Tensor, rate: list[float], score: list[float], by: str = "a", value: float = 1.0
) -> int:
    n = len(where)
    points = torch.full((n, 2), value)
    return ledger.record(
        where,
        points,
        torch.full((n,), value, dtype=torch.float64),
        torch.tensor(rate, dtype=torch.float64),
        torch.tensor(score),
        torch.full((n,), 7),
        by,
    )


def test_a_break_is_written_down_once() -> None:
    ledger = book()
    assert take(ledger, rows(1, 3), [0.0, 1.0], [2.0, -9.0]) == 1
    assert ledger.by == [None, "a", None, None, None]
    assert ledger.standing.tolist() == [True, False, True, True, True]
    assert ledger.robust == 4
    assert ledger.distance[1] == 1
    assert ledger.prediction[1] == 7
    # The first break stays, however much worse a later one is.
    assert take(ledger, rows(1), [0.0], [99.0], by="b", value=2.0) == 0
    assert ledger.by[1] == "a"
    assert ledger.x[1].tolist() == [1.0, 1.0]


def test_the_closest_call_of_a_survivor_is_kept() -> None:
    ledger = book()
    take(ledger, rows(0), [1.0], [-5.0])
    assert ledger.x[0].tolist() == [0.0, 0.0]
    take(ledger, rows(0), [1.0], [-0.5], value=3.0)
    assert ledger.x[0].tolist() == [3.0, 3.0]
    assert ledger.score[0] == -0.5
    assert ledger.by[0] == "a"
    assert ledger.robust == 5


def test_nan_scores_do_no_harm() -> None:
    ledger = book()
    take(ledger, rows(0, 1), [1.0, 0.0], [float("-inf"), float("-inf")])
    assert ledger.score[0] == -1
    assert ledger.by[:2] == [None, "a"]


def test_rates_of_a_random_target() -> None:
    ledger = book()
    ledger.clean_rate[4] = ledger.rate[4] = 0.4
    assert ledger.right.tolist() == [True] * 4 + [False]
    assert take(ledger, rows(0), [0.6], [-0.1]) == 0
    assert ledger.by[0] == "a"
    assert take(ledger, rows(0), [0.3], [0.1], by="b") == 1
    assert take(ledger, rows(0), [0.1], [0.2], by="c") == 0
    assert ledger.by[0] == "c"
    assert ledger.standing[0]
    # The fifth, though more often wrong than right when clean, can be attacked and counts as often as it is right.
    assert ledger.standing[4]
    assert ledger.robust == pytest.approx(3.1 + 0.4)
    assert take(ledger, rows(0), [0.2], [9.0], by="d") == 0
    assert ledger.rate[0] == 0.1


def test_who_is_attacked_next() -> None:
    ledger = book(10)
    ledger.score[:] = torch.tensor([-5.0, -1, -9, -2, -8, -3, -7, -4, -6, -0.5])
    ledger.clean_rate[9] = ledger.rate[9] = 0.0
    take(ledger, rows(1), [0.0], [3.0])
    assert ledger.standing_rows().tolist() == [0, 2, 3, 4, 5, 6, 7, 8]
    assert ledger.standing_rows(closest=0.5).tolist() == [0, 3, 5, 7]
    assert ledger.standing_rows(closest=0.01, at_least=2).tolist() == [3, 5]
    assert ledger.standing_rows(closest=0.01, at_least=99).tolist() == [0, 2, 3, 4, 5, 6, 7, 8]
    assert ledger.standing_rows(at_most=3).tolist() == [3, 5, 7]
    assert ledger.standing_rows(closest=0.5, at_most=1).tolist() == [3]
    empty = book(3)
    empty.rate[:] = 0
    assert empty.standing_rows(0.5, 2, 1).tolist() == []


def test_what_was_not_seen_is_not_robust() -> None:
    ledger = Ledger(torch.zeros(3, 2))
    assert ledger.robust == 0
    assert not ledger.standing.any()
    assert ledger.standing_rows().tolist() == []
