"""A small, whole Result for the report tests."""

from collections.abc import Callable
from typing import Any

import pytest

from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.results import (
    AttackRecord,
    DataRecord,
    Environment,
    Finding,
    GalleryItem,
    Gate,
    PassCount,
    Passes,
    PlanEntry,
    Result,
    SampleRecord,
    ThreatRecord,
)
from robcheck.harness.trust import (
    CertifiedRecord,
    ControlRecord,
    CurvePoint,
    GridRecord,
    Measure,
    PowerLevel,
    PowerRecord,
    RegressionRecord,
    SequentialRecord,
    Waiver,
)


def _attacks() -> list[AttackRecord]:
    ran = {"attempted": 16, "forward": 1632, "backward": 1600, "seconds": 2.5}
    return [
        AttackRecord(
            name="apgd-ce", attack="apgd", gradient="exact", status="ok", broken=8, robust_accuracy=0.4, **ran
        ),
        AttackRecord(name="square", attack="square", status="idle", attempted=8, robust_accuracy=0.4, seconds=1.0),
        AttackRecord(name="transfer", attack="transfer", status="skipped", reason="no surrogate was given"),
        AttackRecord(name="fab", attack="fab", status="crashed", reason="out of memory at batch 3"),
        AttackRecord(name="boundary", attack="boundary", status="starved", reason="the budget ran out"),
    ]


def _samples() -> list[SampleRecord]:
    return [
        SampleRecord(id=i, label=i % 3, outcome="survived", clean_prediction=i % 3, forward=102, backward=100)
        if i < 8
        else SampleRecord(
            id=i,
            label=i % 3,
            outcome="broken",
            clean_prediction=i % 3,
            prediction=(i + 1) % 3,
            broken_by="apgd-ce",
            distance=0.002 * (i - 7),
            forward=102,
        )
        if i < 16
        else SampleRecord(id=i, label=i % 3, outcome="clean_error", clean_prediction=-1)
        for i in range(20)
    ]


def _gallery() -> list[GalleryItem]:
    words = {"label": "cat", "clean_prediction": "cat", "prediction": "dog", "attack": "apgd-ce", "distance": 0.1}
    colour = [[[0.5, 0.5, 0.5], [0.2, 0.3, 0.4]]]
    changed = [[[0.6, 0.4, 0.5], [0.2, 0.3, 0.4]]]
    return [
        GalleryItem(id=8, clean=colour, adversarial=changed, **words),
        GalleryItem(id=9, clean=[[0.0, 0.5], [1.0, 0.25]], adversarial=[[0.1, 0.4], [1.0, 0.25]], **words),
    ]


def _model() -> ModelInfo:
    return ModelInfo(
        name="small.onnx",
        format="onnx",
        input_shape=(3, 1, 2),
        mean=(0.5,),
        classes=3,
        sha256="ab" * 32,
        opset=17,
        operators={"Conv": 2, "Round": 1},
        obstacles={"Round": "rounds to whole numbers"},
        twin=Twin(available=True, parity=3e-6, scale=12.5, samples=8),
        notes=("A note.",),
    )


def _result(**changes: Any) -> Result:
    fields: dict[str, Any] = {
        "created": "2026-01-02T03:04:05Z",
        "seconds": 61.0,
        "verdict": "FAIL",
        "explanation": "The number is below the gate.",
        "against_pass": ["fab crashed."],
        "clean_accuracy": 0.8,
        "robust_accuracy": 0.4,
        "interval": (0.191, 0.639),
        "model": _model(),
        "data": DataRecord(name="tiny", samples=20, sha256="cd" * 32, shape=(3, 1, 2)),
        "threat": ThreatRecord(norm="linf", epsilon=8 / 255),
        "gate": Gate(min_robust_accuracy=0.7),
        "suite": "adaptive",
        "suite_source": {"name": "adaptive", "attacks": [{"attack": "apgd", "steps": 100}]},
        "plan": [
            PlanEntry(name="apgd-ce", attack="apgd", parameters={"steps": 100}, gradient="exact", eot=4, reason="why"),
            PlanEntry(name="transfer", attack="transfer", runs=False, reason="no surrogate was given"),
        ],
        "attacks": _attacks(),
        "samples": _samples(),
        "passes": PassCount(forward=12345, backward=1600, phases={"clean": Passes(forward=20)}),
        "findings": [
            Finding(code="NOTE", severity="info", message="A remark."),
            Finding(code="MASKED", severity="severe", message="Masked.", measured=9.0, threshold=0.5, remedy="Do."),
        ],
        "contract": [
            Finding(code="PARITY", severity="ok", message="All is well.", measured=1e-6, threshold=1e-3),
            Finding(code="GRADIENT", severity="info", message="Not checked: nobody <asked>."),
            Finding(code="MASKED", severity="severe", message="Masked.", measured=9.0, threshold=0.5, remedy="Do."),
        ],
        "gallery": _gallery(),
        "environment": Environment(robcheck="0.1.0", python="3.12", platform="Linux", packages={"numpy": "2.0"}),
    }
    return Result(**(fields | changes))


def _controls() -> list[ControlRecord]:
    ran = {"samples": 8, "forward": 640, "backward": 320, "seconds": 0.4}
    return [
        ControlRecord(
            name="one step",
            question="Does one step break what many do not?",
            measures=[Measure(label="one step", value=0.6), Measure(label="many steps", value=0.4)],
            **ran,
        ),
        ControlRecord(
            name="random",
            question="Do random points break what attacks do not?",
            fell=1,
            measures=[Measure(label="points per sample", value=10000, kind="number")],
            **ran,
        ),
        ControlRecord(
            name="sibling", question="Does it fall without its defense?", status="skipped", reason="it has no defense"
        ),
        ControlRecord(
            name="planted", question="Is what surely exists found?", status="failed", reason="ModelError: no memory"
        ),
    ]


def _trusted(**changes: Any) -> Result:
    """A result with every record of trust in it."""
    result = _result()
    samples = [
        sample.model_copy(update={"evidence": sample.id < 5, "indicators": [] if sample.id < 5 else ["I1", "I4"]})
        if sample.id < 6
        else sample
        for sample in result.samples
    ]
    plan = [
        PlanEntry(name="apgd-ce", attack="apgd", gradient="exact", eot=4, loss="ce", step_size="2 eps", momentum=0.75),
        PlanEntry(name="square", attack="square", answers="majority of 5 draws", reason="asks for scores"),
        PlanEntry(name="apgd-ce+bpda", attack="apgd", gradient="bpda", revises="apgd-ce", reason="zero gradients"),
        PlanEntry(name="fab", attack="fab", runs=False, reason="no l2", cost="small breaks may be missed"),
        PlanEntry(name="latent", attack="latent", runs=False, reason="no generator"),
    ]
    levels = [
        PowerLevel(name="easy", planted=8, found=8, by_one_step=7, interval=(0.63, 1.0)),
        PowerLevel(name="middle", planted=8, found=7, by_one_step=3, interval=(0.47, 0.99)),
        PowerLevel(name="hard", planted=8, found=6, by_one_step=0, interval=(0.34, 0.97)),
    ]
    findings = [
        *result.findings,
        Finding(code="NOT_CONVERGED", severity="severe", message="More steps help.", waived="old (until 2027-01-31)"),
    ]
    waivers = [
        Waiver(code="NOT_CONVERGED", reason="known since spring", expires="2027-01-31", status="applied"),
        Waiver(code="SAME_ATTACK", reason="old", expires="2025-01-31", status="expired"),
        Waiver(code="POOR_FIT", reason="just in case", expires="2027-01-31"),
        Waiver(code="INTERRUPTED", reason="cheeky", expires="2027-01-31", status="refused"),
    ]
    fields: dict[str, Any] = {
        "samples": samples,
        "plan": plan,
        "controls": _controls(),
        "power": PowerRecord(levels=levels, attacks=["pgd", "apgd-ce"]),
        "radii": [
            CurvePoint(epsilon=eps * 8 / 255, accuracy=accuracy, samples=16)
            for eps, accuracy in ((0, 0.8), (0.5, 0.6), (1, 0.45), (2, 0.2), (4, 0.05), (8, 0.0))
        ],
        "grid": GridRecord(robust_accuracy=0.45, interval=(0.23, 0.68), kept=7, breaks=8),
        "certified": CertifiedRecord(accuracy=0.15, samples=20),
        "regression": RegressionRecord(
            baseline="small-v1",
            samples=20,
            before=0.5,
            after=0.4,
            only_before=3,
            only_after=1,
            p=0.625,
            interval=(-0.29, 0.09),
            change=(-0.1, -0.1),
            allowed=0.02,
        ),
        "sequential": SequentialRecord(method="a confidence sequence", looked=[10, 20], of=100, decided=True),
        "waivers": waivers,
        "findings": findings,
    }
    return result.model_copy(update=fields | changes)


@pytest.fixture(name="make_trusted", scope="session")
def _make_trusted() -> Callable[..., Result]:
    return _trusted


@pytest.fixture(name="make_result")
def _make_result() -> Callable[..., Result]:
    return _result
