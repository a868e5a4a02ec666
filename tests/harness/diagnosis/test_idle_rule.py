"""A decision rule that joins equal answers, and a rejection score that is always the same."""

import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.pipeline import Pipeline
from robcheck.harness.randomness import Stream


class Never:
    label = "never"
    random = False

    def score(self, x: Tensor, logits: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        return 0 * logits.sum(dim=1) - 1


def codes(result: robcheck.Result) -> set[str]:
    return {finding.code for finding in result.findings}


def samples() -> tuple[Tensor, nn.Module]:
    x = torch.rand(20, 6, generator=torch.Generator().manual_seed(0))
    linear = nn.Linear(6, 3)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(3, 6, generator=torch.Generator().manual_seed(1)))
        linear.bias.zero_()
    return x, linear


def test_a_rule_that_changes_nothing_is_told() -> None:
    x, model = samples()
    y = model(x).argmax(dim=1)
    result = robcheck.evaluate(model, x, y, suite="quick", epsilon=0.05, decision_rule="mean:5")
    assert "IDLE_RULE" in codes(result)
    assert result.decision_rule == "mean:5"
    assert "IDLE_RULE" not in codes(robcheck.evaluate(model, x, y, suite="quick", epsilon=0.05))


def test_a_score_that_is_always_the_same_is_told() -> None:
    x, model = samples()
    y = model(x).argmax(dim=1)
    pipeline = Pipeline(robcheck.load_model(model), detector=Never())
    assert "CONSTANT_SCORE" in codes(robcheck.evaluate(pipeline, x, y, suite="quick", epsilon=0.05))
