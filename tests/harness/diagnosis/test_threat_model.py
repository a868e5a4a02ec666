"""Claims that make no sense are severe, odd ones a warning, usual ones nothing."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.diagnosis.claim import Claim
from robcheck.harness.diagnosis.records import Probe, Records
from robcheck.harness.diagnosis.threat_model import threat_model
from robcheck.harness.model_info import ModelInfo
from robcheck.suites import Suite

RECORDS = Records(
    samples=9, evaluated=9, classes=10, clean_accuracy=0.9, probe=Probe(), info=ModelInfo(name="m", format="onnx")
)
USUAL = Claim("linf", (8 / 255, 8 / 255), 3072, True, 3, 0.0, 1.0, True)
GREY = replace(USUAL, channels=1, features=784)
DATA = replace(USUAL, image=False, channels=0, features=30, grid=False)


def found(claim: Claim) -> list[str]:
    return [finding.severity for finding in threat_model(replace(RECORDS, claim=claim))]


@pytest.mark.parametrize(
    "claim",
    [
        USUAL,
        replace(USUAL, radii=(2 / 255, 16 / 255)),
        replace(USUAL, radii=(1 / 255, 1 / 255)),
        replace(USUAL, radii=(0.0, 0.0)),
        replace(USUAL, norm="l2", radii=(0.5, 0.5)),
        replace(USUAL, norm="l2", radii=(0.5, 0.5), features=150_528),
        replace(USUAL, norm="l1", radii=(12.0, 12.0)),
        replace(USUAL, norm="l0", radii=(24.0, 24.0)),
        replace(GREY, radii=(0.3, 0.3)),
        replace(GREY, radii=(0.4, 0.4)),
        replace(DATA, radii=(0.6, 0.6)),
        replace(DATA, low=0.9, high=0.95),
        replace(USUAL, radii=None),
        replace(USUAL, radii=(0.002, 0.002), grid=False),
        replace(USUAL, low=0.2, high=0.8),
    ],
)
def test_usual_claims(claim: Claim) -> None:
    assert found(claim) == []


@pytest.mark.parametrize(
    ("claim", "severity"),
    [
        (replace(USUAL, radii=(8.0, 8.0)), "severe"),
        (replace(DATA, radii=(1.0, 1.0)), "severe"),
        (replace(USUAL, norm="l2", radii=(56.0, 56.0)), "severe"),
        (replace(USUAL, norm="l0", radii=(3072.0, 3072.0)), "severe"),
        (replace(USUAL, norm="l2", radii=(30.0, 30.0)), "warning"),
        (replace(GREY, radii=(0.5, 0.5)), "warning"),
        (replace(USUAL, radii=(0.3, 0.3)), "warning"),
        (replace(USUAL, radii=(8 / 255 / 255,) * 2), "severe"),
        (replace(USUAL, radii=(0.002, 0.002)), "warning"),
        (replace(USUAL, radii=(0.002, 0.002), grid_only=True), "severe"),
        (replace(USUAL, norm="l2", radii=(0.5 / 255,) * 2), "warning"),
        (replace(USUAL, norm="l2", radii=(0.05 / 255,) * 2), "severe"),
        (replace(USUAL, low=0.0, high=1 / 255), "severe"),
        (replace(USUAL, low=0.1, high=0.2), "warning"),
        (replace(USUAL, low=0.5, high=1.0), "warning"),
    ],
)
def test_odd_claims(claim: Claim, severity: str) -> None:
    assert found(claim) == [severity]


class Bright(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(dim=1)
        return torch.stack([mean - 0.5, 0.5 - mean], dim=1)


@pytest.mark.parametrize(
    ("scale", "more", "severity"),
    [(1.0, {"epsilon": 0.05}, None), (1.0, {"epsilon": 8.0}, "severe"), (1 / 255, {"epsilon": 0.05}, "severe"),
     (255.0, {"epsilon": 0.05, "bounds": (0.0, 255.0)}, None)],
)  # fmt: skip
def test_it_is_asked_of_every_run(scale: float, more: dict[str, Any], severity: str | None) -> None:
    x = scale * torch.rand(16, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    suite = Suite.model_validate({"name": "tiny", "attacks": [{"attack": "pgd", "steps": 3}]})
    bounds = more.pop("bounds", (0.0, 1.0))
    model = robcheck.load_model(Bright(), bounds=bounds)
    result = robcheck.evaluate(model, x, model.logits(x).argmax(dim=1), suite=suite, device="cpu", **more)
    assert [f.severity for f in result.findings if f.code == "THREAT_MODEL"] == ([severity] if severity else [])
