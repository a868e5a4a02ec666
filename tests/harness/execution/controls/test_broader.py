"""Changes that are no attacks: what they do to an image by hand, and that they are told and never held against it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.execution.controls.broader import CHANGES
from robcheck.harness.randomness import Stream
from robcheck.suites import Suite

STREAM = Stream.create(0, "test", torch.arange(2))
SUITE = {"name": "tiny", "attacks": [{"attack": "pgd", "steps": 3}]}


def dot(row: int, column: int) -> Tensor:
    x = torch.zeros(2, 1, 21, 21)
    x[:, 0, row, column] = 1.0
    return x


def centre(x: Tensor) -> tuple[float, float]:
    """Where the brightness of the first image lies, (row, column)."""
    weights, places = x[0, 0], torch.arange(21.0)
    total = weights.sum()
    return float((weights.sum(1) * places).sum() / total), float((weights.sum(0) * places).sum() / total)


def changed(name: str, number: int, x: Tensor) -> Tensor:
    return CHANGES[name][number](x, STREAM)


def test_a_turn_turns_about_the_middle() -> None:
    """30 degrees move (10, 17) to sine and cosine of 30 degrees, seven pixels from the middle, either way."""
    found = {centre(changed("rotation by up to 30 degrees", number, dot(10, 17))) for number in (0, 5)}
    assert sorted(row for row, _ in found) == pytest.approx([10 - 3.5, 10 + 3.5], abs=0.3)
    assert [column for _, column in found] == pytest.approx([16.06, 16.06], abs=0.3)


def test_a_shift_shifts_by_a_tenth() -> None:
    found = [centre(changed("translation by a tenth", number, dot(10, 10))) for number in range(4)]
    moves = sorted((round(row - 10, 1), round(column - 10, 1)) for row, column in found)
    assert moves == [(-2.1, 0.0), (0.0, -2.1), (0.0, 2.1), (2.1, 0.0)]


def test_blur_contrast_brightness_and_noise() -> None:
    x = torch.rand(2, 3, 21, 21, generator=torch.Generator().manual_seed(0))
    flat = torch.full((2, 1, 21, 21), 0.25)
    blurred = changed("Gaussian blur", 2, dot(10, 10))
    assert torch.allclose(changed("Gaussian blur", 1, flat), flat)
    assert float(blurred[0, 0, 10, 10]) == pytest.approx(0.159, abs=0.003)
    assert float(blurred.sum()) == pytest.approx(2.0, abs=1e-4)
    paler = changed("contrast", 1, x)
    assert torch.allclose(paler.flatten(1).mean(1), x.flatten(1).mean(1))
    assert torch.allclose(paler.flatten(1).std(1), 0.5 * x.flatten(1).std(1))
    assert torch.allclose(changed("brightness", 0, x), x - 0.2)
    noise = changed("Gaussian noise", 1, x) - x
    assert float(noise.std()) == pytest.approx(0.08, rel=0.1)
    assert not torch.equal(noise[0], noise[1])


class Bright(nn.Module):
    """Two classes: whether the left half is brighter than the right one."""

    def forward(self, x: Tensor) -> Tensor:
        left, right = x[..., :4].mean(dim=(1, 2, 3)), x[..., 4:].mean(dim=(1, 2, 3))
        return 10 * torch.stack([left - right, right - left], dim=1)


def evaluated(**more: Any) -> Any:
    x = 0.5 * torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(2)) + 0.1
    x[::2, ..., :4] += 0.3
    x[1::2, ..., 4:] += 0.3
    suite = Suite.model_validate(SUITE)
    return robcheck.evaluate(Bright(), x, torch.arange(24) % 2, suite=suite, epsilon=0.01, device="cpu", **more)


def test_it_is_told_and_never_held_against_the_model() -> None:
    result = evaluated(controls="full")
    found = next(f for f in result.findings if f.code == "BROADER")
    assert found.severity == "info"
    record = next(c for c in result.controls if c.name == "broader")
    assert record.samples == 24
    values = {m.label.partition(":")[0]: m.value for m in record.measures}
    assert set(values) == {"clean", *CHANGES}
    assert values["clean"] == values["brightness"] == values["contrast"] == values["Gaussian noise"] == 1.0
    assert record.forward == 24 * sum(map(len, CHANGES.values()))
    assert not any("BROADER" in line for line in result.against_pass)


def test_it_is_paid_for_on_demand_only() -> None:
    result = evaluated()
    assert "broader" not in {c.name for c in result.controls}
