"""Who declares the decision rule of a random product."""

import pytest
from torch import nn

from robcheck import load_model
from robcheck.arguments import as_pipeline
from robcheck.harness.errors import UsageError
from robcheck.harness.pipeline import Pipeline
from robcheck.harness.rule import Rule

MEAN = Rule("mean", 5)


@pytest.mark.parametrize(
    ("own", "said", "decides"),
    [
        (None, None, Rule()),
        (None, "mean:5", MEAN),
        (Rule(), None, Rule()),
        (Rule(), "mean:5", MEAN),
        (MEAN, None, MEAN),
        (MEAN, "mean:5", MEAN),
    ],
)
def test_one_of_them(own: Rule | None, said: str | None, decides: Rule) -> None:
    module = nn.Linear(4, 2)
    model = module if own is None else Pipeline(load_model(module, device="cpu"), rule=own)
    assert as_pipeline(model, "cpu", (), said).rule == decides


@pytest.mark.parametrize("said", ["single", "mean:6", "majority:5"])
def test_two_of_them_are_refused(said: str) -> None:
    """Single draws that were asked for, and means that were attacked, would be another product."""
    model = Pipeline(load_model(nn.Linear(4, 2), device="cpu"), rule=MEAN)
    with pytest.raises(UsageError, match="already decides by mean:5"):
        as_pipeline(model, "cpu", (), said)


@pytest.mark.parametrize("said", [5, MEAN, ["mean:5"]])
def test_what_is_no_text_is_refused(said: object) -> None:
    with pytest.raises(UsageError, match="is no text; give 'single'"):
        Rule.parse(said)  # type: ignore[arg-type]
