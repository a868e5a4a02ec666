"""The contract says something about every model, and a wrong word about none."""

from dataclasses import replace

import pytest

from robcheck.harness.diagnosis import CONTRACT, Probe, examine
from robcheck.harness.gradients.ascent import Ascent
from robcheck.harness.model_info import ModelInfo, Twin
from robcheck.harness.results import Finding

INFO = ModelInfo(name="m", format="onnx", twin=Twin(available=True))
PROBE = Probe(
    samples=32,
    looks_like="logits",
    parity=1e-6,
    excess=1e-6,
    scale=10.0,
    gradient_samples=32,
    slope_errors=(1e-9,) * 8,
    ascents=(Ascent("exact", samples=16, ascended=16, rise=3.0, random_rise=0.1),),
    used=("exact",),
    accuracy=0.9,
    accuracy_samples=200,
    expected_accuracy=0.9,
)


def one(name: str, probe: Probe = PROBE, info: ModelInfo = INFO, **changes: object) -> Finding:
    (check,) = [check for check in CONTRACT if check.__name__ == name]
    return check(replace(probe, **changes), info)  # type: ignore[arg-type]


def test_all_is_well() -> None:
    found = examine(PROBE, INFO)
    assert [f.severity for f in found] == ["ok"] * 8
    assert [f.code for f in found] == [
        *("FINITE_OUTPUT", "OUTPUT_KIND", "ACCURACY", "DETERMINISM"),
        *("BATCH_INDEPENDENCE", "PARITY", "GRADIENT", "ASCENT"),
    ]
    assert all(f.message.endswith(".") and "\n" not in f.message for f in found)


def test_nothing_asked_is_nothing_proven() -> None:
    found = examine(Probe(), INFO)
    assert {f.severity for f in found} == {"info"}
    assert all("ot checked" in f.message for f in found)


@pytest.mark.parametrize(
    ("measured", "samples", "severity"),
    [(0.9, 200, "ok"), (0.896, 200, "ok"), (0.894, 200, "warning"), (0.5, 200, "severe"), (0.88, 20_000, "severe"),
     (0.5, 4, "warning"), (0.0, 10, "severe"), (1.0, 1, "ok"), (0.0, 0, "info")],
)  # fmt: skip
def test_accuracy_is_judged_as_far_as_the_samples_carry(measured: float, samples: int, severity: str) -> None:
    finding = one("accuracy", accuracy=measured, accuracy_samples=samples)
    assert finding.severity == severity
    assert finding.code == ("ACCURACY_TOO_LOW" if severity in ("warning", "severe") else "ACCURACY")
    assert one("accuracy", accuracy=measured, accuracy_samples=samples, expected_accuracy=None).severity == "info"


@pytest.mark.parametrize(
    ("twin", "limit"),
    [
        (Twin(available=True), 1e-3),
        (Twin(available=True, tolerance=5e-3), 5e-2),
        (Twin(available=True, tolerance=2e-2, step=0.3), 0.6),
        (Twin(available=True, step=0.3), 0.6),
    ],
)
def test_parity_is_as_strict_as_the_number_format(twin: Twin, limit: float) -> None:
    info = INFO.model_copy(update={"twin": twin})
    for factor, severity in ((0.99, "ok"), (1.01, "severe")):
        finding = one("parity", info=info, parity=factor * limit, excess=factor * limit)
        assert finding.severity == severity
        assert finding.threshold == pytest.approx(limit)


def test_parity_of_means_counts_what_chance_does_not_explain() -> None:
    noisy = {"random": True, "parity": 0.5}
    assert one("parity", **noisy, excess=-0.1).severity == "ok"
    bad = one("parity", **noisy, excess=0.2)
    assert (bad.code, bad.severity) == ("TWIN_PARITY", "severe")
    assert bad.measured is not None
    assert bad.measured > (bad.threshold or 0)


def test_operators_that_draw_make_a_model_random() -> None:
    info = INFO.model_copy(update={"random_operators": ("RandomNormalLike",)})
    finding = one("determinism", info=info, random=True)
    assert finding.severity == "warning"
    assert "RandomNormalLike" in finding.message


@pytest.mark.parametrize(
    ("stated", "seen", "severity"),
    [
        ("logits", "logits", "ok"),
        ("logits", "log-probabilities", "ok"),
        ("logits", "probabilities", "warning"),
        ("logits", "labels", "warning"),
        ("logits", "sigmoids", "warning"),
        ("sigmoids", "logits", "info"),
        ("probabilities", "labels", "info"),
        ("probabilities", "log-probabilities", "info"),
        ("log-probabilities", "log-probabilities", "ok"),
        ("labels", "labels", "info"),
        ("logits", None, "info"),
    ],
)
def test_scores_that_are_taken_for_others(stated: str, seen: str | None, severity: str) -> None:
    info = INFO.model_copy(update={"output": stated})
    assert one("output_kind", info=info, looks_like=seen).severity == severity


@pytest.mark.parametrize(
    ("obstacles", "used", "up", "severity"),
    [
        ({}, ("exact",), 16, "severe"),
        ({}, ("bpda",), 16, "severe"),
        ({"Round": "rounds"}, (), 16, "severe"),
        ({"Round": "rounds"}, ("bpda",), 0, "info"),
        ({"Round": "rounds"}, ("exact",), 0, "severe"),
        ({"Round": "rounds"}, ("exact",), 16, "warning"),
    ],
)
def test_only_an_obstacle_excuses_a_wrong_slope(
    obstacles: dict[str, str], used: tuple[str, ...], up: int, severity: str
) -> None:
    info = INFO.model_copy(update={"obstacles": obstacles})
    ascents = tuple(Ascent(name, samples=16, ascended=up, rise=1.0) for name in ("exact", "bpda"))
    finding = one("gradient", info=info, slope_errors=(0.7,) * 8, used=used, ascents=ascents)
    assert (finding.code, finding.severity) == ("WRONG_GRADIENT", severity)
    bare = one("gradient", info=info, slope_errors=(0.7,) * 8, used=used, ascents=ascents, unexplained=8)
    assert bare.severity == "severe"


def test_the_gradients_in_use_are_judged_by_the_best_of_them() -> None:
    both = (Ascent("exact", samples=16, ascended=0), Ascent("bpda", samples=16, ascended=16, rise=2.0))
    assert one("ascent", ascents=both, used=("bpda",)).severity == "ok"
    assert one("ascent", ascents=both, used=("exact", "bpda")).severity == "ok"
    assert one("ascent", ascents=both, used=("exact",)).code == "NOT_ASCENDING"
    assert "16 of 16" in one("ascent", ascents=both, used=("bpda",)).message
