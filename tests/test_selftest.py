"""The self-test passes here, and fails where something is broken."""

import pytest
import torch
from typer.testing import CliRunner

from robcheck import selftest
from robcheck.adapters.fixtures import FIXTURES
from robcheck.cli import app
from robcheck.harness.decision import Goal


def names(**kwargs: bool) -> list[str]:
    return [name for name, _ in selftest._cases(samples=4, seed=0, **kwargs)]


def test_quick_is_a_part_of_full() -> None:
    assert set(names(full=False)) < set(names(full=True))
    assert set(names(full=True)) >= {"linear", "certified", "bare", *FIXTURES}


def test_the_first_controls_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "QUICK", ())
    monkeypatch.setattr(selftest, "SUITE", "quick")
    found = {case.name: case for case in selftest.selftest(samples=16)}
    assert set(found) == {"linear", "certified", "bare"}
    assert [case for case in found.values() if not case.ok] == []


def test_a_replay_that_calls_everything_broken_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clean pass is untouched; every attacked point counts as a break."""
    monkeypatch.setattr(Goal, "broken", lambda _, decision: torch.ones_like(decision.labels, dtype=torch.bool))
    monkeypatch.setattr(Goal, "score", lambda _, decision: torch.ones_like(decision.logits[:, 0]))
    monkeypatch.setattr(selftest, "QUICK", ())
    monkeypatch.setattr(selftest, "SUITE", "quick")
    found = {case.name: case for case in selftest.selftest(samples=8)}
    assert not found["certified"].ok
    assert not found["linear"].ok


def test_an_error_is_a_failed_control_and_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel for this device")

    monkeypatch.setattr(selftest.api, "evaluate", raising)
    monkeypatch.setattr(selftest, "QUICK", ("rounding",))
    answer = CliRunner().invoke(app, ["selftest"])
    assert answer.exit_code == 1
    assert "FAIL" in answer.output
    assert "RuntimeError: no kernel for this device" in answer.output


def test_an_interrupted_evaluation_ends_the_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = selftest.api.evaluate

    def interrupted(*args: object, **kwargs: object) -> object:
        return asked(*args, **kwargs).model_copy(update={"complete": False})

    monkeypatch.setattr(selftest.api, "evaluate", interrupted)
    monkeypatch.setattr(selftest, "SUITE", "quick")
    with pytest.raises(KeyboardInterrupt):
        list(selftest.selftest(samples=8))


@pytest.mark.slow
def test_the_command_passes() -> None:
    answer = CliRunner().invoke(app, ["selftest"])
    assert answer.exit_code == 0, answer.output
