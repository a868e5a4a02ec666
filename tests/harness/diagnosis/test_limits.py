"""Every finding has one row in one file, every row is raised, and checks hold neither numbers nor severities."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from robcheck.cli import app
from robcheck.harness.asked import asked
from robcheck.harness.diagnosis import CHECKS
from robcheck.harness.diagnosis.contract import CODES
from robcheck.harness.diagnosis.limits import IN_PASSING, LIMITS, Limit, limit
from robcheck.harness.execution.controls import CONTROLS

HARNESS = Path(__file__).parents[3] / "harness"
DIAGNOSIS = HARNESS / "diagnosis"
CODE = re.compile(r"[A-Z][A-Z0-9]+(_[A-Z0-9]+)*")
CHECK_FILES = sorted(p for p in DIAGNOSIS.rglob("*.py") if p.name not in ("limits.py", "__init__.py"))


def raised() -> Iterator[tuple[str, str]]:
    """Every code that is written down as that of a finding, and where."""
    for path in HARNESS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "Finding",
                "limit",
                "unchecked",
                "_finding",
            ):
                named = [k.value for k in node.keywords if k.arg == "code"]
                for value in (*named, *node.args[:1]):
                    if isinstance(value, ast.Constant) and isinstance(value.value, str) and CODE.fullmatch(value.value):
                        yield value.value, path.name


def test_what_is_raised_has_a_row() -> None:
    found = dict(raised())
    assert len(found) > 25
    assert {"UNSOUND", "ZERO_GRADIENT", "ATTACK_BROKEN", "TWIN_PARITY", "OPERATING_POINTS"} <= set(found)
    assert {code: where for code, where in found.items() if code not in LIMITS and code not in IN_PASSING} == {}
    assert set(CODES) <= set(LIMITS)
    assert not set(IN_PASSING) & set(LIMITS)


def test_what_has_a_row_is_raised() -> None:
    written = {
        node.value
        for path in HARNESS.rglob("*.py")
        if path.name not in ("limits.py", "waivers.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    # A second threshold of a finding stands under its name and a word more, which the check puts together.
    assert {code for code in LIMITS if code not in written and code.rpartition("_")[0] not in written} == set()


def outcomes(value: ast.expr) -> list[object]:
    """The constants that an expression may come to."""
    if isinstance(value, ast.IfExp):
        return outcomes(value.body) + outcomes(value.orelse)
    if isinstance(value, ast.BoolOp):
        return [constant for part in value.values for constant in outcomes(part)]
    return [value.value] if isinstance(value, ast.Constant) else []


@pytest.mark.parametrize("path", CHECK_FILES, ids=lambda p: str(p.relative_to(DIAGNOSIS)))
def test_a_check_holds_no_severity_of_its_own(path: Path) -> None:
    """Neither severe nor warning by name, and no number under a name in capitals."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "severity":
            assert not {"severe", "warning"} & set(outcomes(node.value)), f"{path.name}: line {node.value.lineno}"
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            assert not isinstance(node.value.value, float), f"{path.name}: line {node.lineno} belongs to limits.py"


@pytest.mark.parametrize("code", LIMITS)
def test_a_row_says_who_says_so(code: str) -> None:
    row = LIMITS[code]
    assert CODE.fullmatch(code)
    assert row.source.strip()
    assert row.severity in ("info", "warning", "severe")
    if row.warning is not None:
        assert row.severity == "severe"
        assert row.warning != row.threshold


def test_every_code_has_a_question_and_experiments_that_exist() -> None:
    found = asked()
    names = {control.name for control in CONTROLS}
    assert set(found) == set(LIMITS)
    assert {code for code, each in found.items() if not each.question.endswith("?")} == set()
    assert {name for each in found.values() for name in each.experiments} <= names
    assert {name for check in CHECKS for name in check.needs} == names
    assert found["UNSOUND"].experiments == ("certificate",)
    assert found["ZERO_GRADIENT"].question.startswith("Is there a gradient")
    assert found["BUDGET_EXHAUSTED"].question == found["ATTACK_CRASHED"].question


@pytest.mark.parametrize(
    ("measured", "high", "low"),
    [
        (0.0, None, "severe"),
        (0.3, "warning", "warning"),
        (0.9, "severe", None),
        (float("nan"), "severe", "severe"),
    ],
)
def test_a_measurement_is_judged(measured: float, high: str | None, low: str | None) -> None:
    assert Limit("severe", 0.5, "us", 0.2).judge(measured) == high
    assert Limit("severe", 0.2, "us", 0.5).judge_low(measured) == low
    with pytest.raises(KeyError):
        limit("NO_SUCH_CODE")


def test_the_command_line_lists_and_describes_checks() -> None:
    listed = CliRunner().invoke(app, ["list", "checks"])
    assert listed.exit_code == 0
    assert {"UNSOUND", "severe", "certificate"} <= set(listed.output.split())
    told = CliRunner().invoke(app, ["describe", "ZERO_GRADIENT"])
    assert told.exit_code == 0
    for word in ("severity: severe", "threshold: 0.1 (warning: 0)", "AutoAttack"):
        assert word in told.output
    assert CliRunner().invoke(app, ["describe", "UNSOUNDD"]).exit_code != 0
