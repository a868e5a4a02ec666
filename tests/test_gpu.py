"""The same evaluation on CUDA and on the CPU."""

import pytest
import torch

import robcheck
from robcheck.harness.training.recipes import small_cnn

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 0.5), ("l1", 2.0)])
@pytest.mark.parametrize("defense", [None, "jpeg:quality=75", "resize-pad:smallest=0.9"])
def test_quick_suite_agrees_with_the_cpu(norm, epsilon, defense):
    data = robcheck.load_data("digits", split="train", samples=1000)
    torch.manual_seed(0)
    network = small_cnn(1, 8, 10)
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(150):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(data.x), data.y).backward()
        optimiser.step()
    outcomes = []
    for device in ("cpu", "cuda"):
        result = robcheck.evaluate(
            network, data.x, data.y, suite="quick", norm=norm, epsilon=epsilon, device=device,
            defenses=[defense] if defense else [],
        )  # fmt: skip
        assert result.environment.device != "cpu" or device == "cpu"
        outcomes.append([sample.outcome for sample in result.samples])
    differ = sum(a != b for a, b in zip(*outcomes, strict=True))
    assert differ <= 0.005 * len(data.y), differ
