"""What a run that cannot mean anything tells its user to look at."""

import pytest
import torch
from torch import Tensor, nn

from robcheck import evaluate, load_model
from robcheck.adapters.contract import contract_observer
from robcheck.harness.errors import DataError
from robcheck.harness.execution.observer import Silent


class _Refusing(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.sum(dim=1) * 0 + 5


def test_a_threshold_that_refuses_every_answer_is_the_first_suspect() -> None:
    x, y = torch.eye(4).repeat(10, 1), torch.arange(4).repeat(10)
    model = load_model(_Refusing().eval(), reject_output=1, reject_above=0.0)
    with pytest.raises(DataError, match=r"implausibly low, 0\.0% on 40 samples: check --reject-above, its direction, "):
        evaluate(model, x, y, suite="quick", observer=contract_observer(Silent(), model, x, y))
