"""`robcheck.evaluate` end to end: what the documentation of its arguments promises."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import robcheck
from robcheck.harness.errors import DataError, ModelError, RobcheckError, UsageError
from robcheck.harness.results import Result
from robcheck.suites import Suite

QUICK: dict[str, Any] = {
    "name": "tiny",
    "attacks": [{"attack": "pgd", "steps": 25}, {"attack": "apgd", "loss": "margin", "steps": 40}],
}


def suite(*attacks: dict[str, Any], **more: Any) -> Suite:
    return Suite.model_validate({**QUICK, **({"attacks": list(attacks)} if attacks else {}), **more})


def run(model: Any, x: Any, y: Any, **more: Any) -> Result:
    return robcheck.evaluate(model, x, y, **{"suite": suite(), "device": "cpu", **more})


def samples(model: nn.Module, n: int = 40, features: int = 12) -> tuple[Tensor, Tensor]:
    x = 0.4 + 0.2 * torch.rand(n, features, generator=torch.Generator().manual_seed(1))
    return x, model(x).argmax(dim=1)


def outcomes(result: Result) -> list[str]:
    return [sample.outcome for sample in result.samples]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_linf_on_a_linear_model_is_what_the_closed_form_says(share: float, linear: nn.Module) -> None:
    x, y = samples(linear)
    y[::7] = (y[::7] + 1) % 3
    right = linear(x).argmax(dim=1) == y
    distance = linear.closest(x, y, "linf")
    # Between two neighbours, so that rounding decides nothing.
    eps = float(distance[right].quantile(torch.tensor([share, share + 0.02])).mean())
    result = run(linear, x, y, epsilon=eps)
    robust = right & (distance > eps)
    assert 0 < robust.sum() < right.sum()
    assert result.clean_accuracy == pytest.approx(float(right.float().mean()))
    assert result.robust_accuracy == pytest.approx(float(robust.float().mean()))
    expected = torch.where(right, torch.where(robust, 2, 1), 0).tolist()
    assert outcomes(result) == [("clean_error", "broken", "survived")[k] for k in expected]
    for i, sample in enumerate(result.samples):
        assert (sample.id, sample.label) == (i, int(y[i]))
        assert (sample.broken_by is not None) == (sample.outcome == "broken")
        if sample.outcome == "clean_error":
            assert sample.distance is None
            assert torch.equal(result.adversarial[i], x[i])
        else:
            assert sample.distance <= eps * (1 + 1e-6) + 1e-7
            assert sample.distance == pytest.approx(
                float((result.adversarial[i].double() - x[i]).abs().max()), abs=1e-7
            )
        assert sample.prediction in (None, int(linear(result.adversarial[i : i + 1]).argmax()))
    broken = torch.tensor([o == "broken" for o in outcomes(result)])
    answers = linear(result.adversarial).argmax(dim=1)
    assert (answers[broken] != y[broken]).all()
    assert (answers[robust] == y[robust]).all()
    assert result.complete
    assert result.verdict == "NO_GATE"
    assert result.attacks[0].status == "ok"
    assert result.threat.epsilon == pytest.approx(eps)


@pytest.mark.parametrize(("norm", "radii"), [("linf", (0.03, 0.1)), ("l2", (0.05, 0.3)), ("l1", (0.1, 0.38))])
def test_radii_of_each_sample(norm: str, radii: tuple[float, float], linear: nn.Module) -> None:
    x, y = samples(linear)
    eps = torch.linspace(*radii, 40)
    distance = linear.closest(x, y, norm)
    clear = (distance / eps - 1).abs() > 0.02
    result = run(linear, x, y, norm=norm, epsilon=eps)
    broken = torch.tensor([o == "broken" for o in outcomes(result)])
    assert torch.equal(broken[clear], (distance < eps)[clear])
    assert 3 < broken.sum() < 37
    size = {"linf": float("inf"), "l2": 2, "l1": 1}[norm]
    moved = torch.linalg.vector_norm(result.adversarial.double() - x, ord=size, dim=1)
    assert (moved <= eps.double() * (1 + 1e-6) + 1e-7).all()
    assert ((result.adversarial >= 0) & (result.adversarial <= 1)).all()
    assert result.threat.epsilon == (pytest.approx(radii[0]), pytest.approx(radii[1]))
    assert torch.allclose(moved, torch.tensor([s.distance for s in result.samples], dtype=torch.float64), atol=1e-9)


def test_targets(linear: nn.Module) -> None:
    x, y = samples(linear)
    targets = torch.where(
        torch.arange(40) % 4 == 0, 3 - y - linear(x).topk(2).indices[:, 1], linear(x).topk(2).indices[:, 1]
    )
    result = run(linear, x, y, targets=targets, epsilon=0.2)
    answers = linear(result.adversarial).argmax(dim=1)
    for i, sample in enumerate(result.samples):
        assert sample.target == int(targets[i])
        assert (sample.outcome == "broken") == (int(answers[i]) == int(targets[i]))
    assert outcomes(result).count("broken") > 3
    assert outcomes(run(linear, x, y, epsilon=0.2)).count("broken") >= outcomes(result).count("broken")
    assert result.threat.targeted


def test_numpy_in_numpy_out_and_nothing_is_touched(linear: nn.Module) -> None:
    x, y = samples(linear)
    pixels, labels, radii = x.numpy().copy(), y.numpy().copy(), np.full(40, 0.03, dtype=np.float64)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    linear.train()
    weights = linear.weight.clone()
    result = run(linear, pixels, labels, epsilon=radii)
    assert isinstance(result.adversarial, np.ndarray)
    assert result.adversarial.shape == pixels.shape
    assert np.array_equal(pixels, x.numpy())
    assert np.array_equal(labels, y.numpy())
    assert torch.equal(state, torch.get_rng_state())
    assert linear.training
    assert torch.equal(weights, linear.weight)
    tensor = run(linear, x, y, epsilon=0.03)
    assert np.array_equal(result.adversarial, tensor.adversarial.numpy())
    lists = run(linear, pixels.tolist(), labels.tolist(), epsilon=radii.tolist())
    assert outcomes(lists) == outcomes(tensor)


@pytest.mark.parametrize("bounds", [(0.0, 255.0), (-1.0, 1.0), (-2.117, 2.64)])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_other_bounds_are_the_same_problem(bounds: tuple[float, float], norm: str, linear: nn.Module) -> None:
    """Half of the values stand at the walls, black and white."""
    low, high = bounds
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(60, 12, generator=generator)
    x = torch.where(torch.rand(60, 12, generator=generator) < 0.5, x.round(), x)
    y = linear(x).argmax(dim=1)

    class Scaled(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            return linear((points - low) / (high - low))

    radius = {"linf": 0.08, "l2": 0.4}[norm]
    plain = run(linear, x, y, norm=norm, epsilon=radius)
    scaled = run(robcheck.load_model(Scaled(), bounds=bounds), x * (high - low) + low, y, norm=norm, epsilon=radius)
    assert 10 < outcomes(plain).count("broken") < 50
    differing = sum(a != b for a, b in zip(outcomes(plain), outcomes(scaled), strict=True))
    assert differing <= 1
    points = (scaled.adversarial.double() - low) / (high - low)
    size = float("inf") if norm == "linf" else 2
    assert (torch.linalg.vector_norm(points - x, ord=size, dim=1) <= radius + 1e-6).all()
    assert ((scaled.adversarial >= low) & (scaled.adversarial <= high)).all()


def test_a_box_in_units_of_the_model(linear: nn.Module) -> None:
    """Per feature and sample, far outside [0, 1], some features without width; the linear worst case is a corner."""
    x, _ = samples(linear)
    x = (x - 0.5) * 40
    y = linear(x).argmax(dim=1)
    generator = torch.Generator().manual_seed(3)
    width = 0.5 * torch.rand(40, 12, generator=generator)
    width[:, ::4] = 0
    lower, upper = x - width, x + 0.5 * width
    result = run(linear, x, y, box=(lower, upper))
    slope = linear.weight[None] - linear.weight[y][:, None]
    gain = torch.maximum(slope * (upper - x)[:, None], slope * (lower - x)[:, None]).sum(dim=2)
    logits = linear(x)
    reach = logits - logits.gather(1, y[:, None]) + gain
    reach = reach.scatter(1, y[:, None], float("-inf")).amax(dim=1)
    broken = torch.tensor([o == "broken" for o in outcomes(result)])
    clear = reach.abs() > 0.02
    assert torch.equal(broken[clear], (reach > 0)[clear])
    assert 3 < broken.sum() < 37
    assert ((result.adversarial >= lower) & (result.adversarial <= upper)).all()
    assert torch.equal(result.adversarial[:, ::4], x[:, ::4])
    assert (linear(result.adversarial).argmax(dim=1) != y)[broken].all()
    assert result.threat.box
    assert result.threat.epsilon is None


def test_a_box_may_be_a_number(linear: nn.Module) -> None:
    x, y = samples(linear)
    result = run(linear, x, y, box=(0.3, 0.7))
    assert result.adversarial.min() >= 0.3
    assert result.adversarial.max() <= 0.7
    assert "broken" in outcomes(result)


def test_batches_and_ids(linear: nn.Module) -> None:
    weight = linear.weight.double()

    class Exact(nn.Module):
        def forward(self, points: Tensor) -> Tensor:
            return (points.double()[:, None, :] * weight).sum(dim=2).float()

    model = Exact()
    x, y = samples(model, 23)
    mixed = suite({"attack": "pgd", "steps": 6}, {"attack": "apgd", "steps": 8}, {"attack": "square", "queries": 30})
    whole = run(model, x, y, epsilon=0.03, suite=mixed)
    for batch in (1, 7):
        result = run(model, x, y, epsilon=0.03, suite=mixed, batch_size=batch)
        assert torch.equal(result.adversarial, whole.adversarial)
        # The probe asks once in a batch as large as the attacks will use, so its cost alone depends on that size.
        bare = {"forward", "backward"}
        assert [s.model_dump(exclude=bare) for s in result.samples] == [
            s.model_dump(exclude=bare) for s in whole.samples
        ]
        assert {**result.passes.phases, "controls": None} == {**whole.passes.phases, "controls": None}
    order = torch.randperm(23, generator=torch.Generator().manual_seed(0))
    moved = run(model, x[order], y[order], epsilon=0.03, suite=mixed, ids=order)
    assert [s.id for s in moved.samples] == order.tolist()
    assert torch.equal(moved.adversarial, whole.adversarial[order])
    assert not torch.equal(run(model, x, y, epsilon=0.03, suite=mixed, seed=1).adversarial, whole.adversarial)


@pytest.mark.parametrize("gate", [0.5, 0.9])
def test_gates(gate: float, linear: nn.Module) -> None:
    x, y = samples(linear, 60)
    distance = linear.closest(x, y, "linf").sort().values
    strong, weak = float(distance[0]) * 0.5, float(distance[45])
    assert run(linear, x, y, epsilon=strong, min_robust_accuracy=gate).verdict == "PASS"
    failed = run(linear, x, y, epsilon=weak, min_robust_accuracy=gate)
    assert failed.verdict == "FAIL"
    assert failed.gate.min_robust_accuracy == gate
    assert run(linear, x, y, epsilon=float(distance[30]), min_robust_accuracy=0.5).verdict == "INCONCLUSIVE"
    point = run(linear, x, y, epsilon=float(distance[28] + distance[29]) / 2, min_robust_accuracy=0.5, gate_on="point")
    assert point.verdict == "PASS"


BAD: list[tuple[dict[str, Any], type[RobcheckError], str]] = [
    ({"y": torch.zeros(3, dtype=torch.int64)}, DataError, "y has shape"),
    ({"y": torch.full((4,), 0.5)}, DataError, "no whole number"),
    ({"y": torch.full((4,), 3)}, DataError, "3"),
    ({"y": torch.full((4,), -1)}, DataError, "-1"),
    ({"x": torch.full((4, 12), 2.0)}, DataError, "outside the model's bounds"),
    ({"x": torch.full((4, 12), float("nan"))}, DataError, "NaN"),
    ({"x": torch.zeros(4)}, DataError, "shape"),
    ({"x": torch.zeros(0, 12), "y": torch.zeros(0)}, DataError, "at least one"),
    ({"x": "words"}, DataError, "no array"),
    ({"x": torch.zeros(4, 5)}, ModelError, "fails"),
    ({"norm": "l3"}, UsageError, "linf"),
    ({"epsilon": -1}, UsageError, "epsilon"),
    ({"epsilon": float("nan")}, UsageError, "epsilon"),
    ({"epsilon": [0.1, 0.2]}, UsageError, "epsilon"),
    ({"norm": "l0"}, UsageError, "l0"),
    ({"norm": "l0", "epsilon": 0.5}, UsageError, "l0"),
    ({"targets": torch.full((4,), 3)}, DataError, "3"),
    ({"box": (0.6, 0.4)}, DataError, "empty"),
    ({"box": (0.51, 0.9)}, DataError, "outside its box"),
    ({"box": (0.0, 1.0), "norm": "l2"}, UsageError, "box"),
    ({"box": (torch.zeros(3, 3), 1.0)}, DataError, "box"),
    ({"box": (0.0, 1.0), "defenses": ["jpeg"]}, UsageError, "box"),
    ({"defenses": ["jpg"]}, UsageError, "jpeg"),
    ({"defenses": ["jpeg"]}, UsageError, "images"),
    ({"min_robust_accuracy": 1.5}, UsageError, "min_robust_accuracy"),
    ({"gate_on": "both"}, UsageError, "gate_on"),
    ({"confidence": 0.4}, UsageError, "confidence"),
    ({"confidence": "0.9"}, UsageError, "confidence"),
    ({"expect_accuracy": "0.9"}, UsageError, "expect_accuracy"),
    ({"expect_accuracy": float("nan")}, UsageError, "expect_accuracy"),
    ({"suite": "adaptiv"}, UsageError, "adaptive"),
    ({"device": "tpu"}, UsageError, "tpu"),
    ({"batch_size": -1}, UsageError, "batch_size"),
    ({"batch_size": 0}, UsageError, "batch_size"),
    ({"max_passes": -5}, UsageError, "max_passes"),
    ({"model": "not a model"}, UsageError, "load_model"),
    ({"ids": torch.zeros(2)}, DataError, "ids"),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD, ids=lambda v: str(v)[:40] if isinstance(v, dict) else "")
def test_what_makes_no_sense_is_one_sentence(
    change: dict[str, Any], error: type[RobcheckError], words: str, linear: nn.Module
) -> None:
    given = {"model": linear, "x": torch.full((4, 12), 0.5), "y": torch.zeros(4, dtype=torch.int64), **change}
    with pytest.raises(error) as caught:
        run(given.pop("model"), given.pop("x"), given.pop("y"), **given)
    message = str(caught.value)
    assert words in message
    assert len(message.splitlines()) == 1


def test_a_classifier_of_ones_own(make_problem: Callable[..., Any], linear: nn.Module) -> None:
    x, y = samples(linear)
    classifier = make_problem(linear, x, y, 0.1).target.pipeline.classifier
    assert outcomes(run(classifier, x, y, epsilon=0.03)) == outcomes(run(linear, x, y, epsilon=0.03))


def test_a_target_is_another_class() -> None:
    """A sample's own class as its target would count the untouched sample as broken."""
    x = torch.rand(3, 12)
    module = nn.Linear(12, 3)
    y = module(x).argmax(1)
    with pytest.raises(DataError, match="its own class"):
        robcheck.evaluate(module, x, y, targets=y, epsilon=0.1)


@pytest.mark.parametrize("share", [2, -1, float("nan"), "0.9", True])
def test_what_is_expected_is_a_share_even_where_nothing_is_compared(share: Any, linear: nn.Module) -> None:
    with pytest.raises(UsageError, match="expect_accuracy"):
        robcheck.inspect(linear, torch.rand(4, 12), expect_accuracy=share, device="cpu")


def test_inference_mode_around_it_changes_nothing(linear: nn.Module) -> None:
    x, y = samples(linear)
    plain = run(linear, x, y, epsilon=0.03)
    with torch.inference_mode():
        inside = run(linear, x.clone(), y, epsilon=0.03)
        assert robcheck.inspect(linear, x.clone(), y, device="cpu").sound
    assert outcomes(inside) == outcomes(plain)
    assert {f.code for f in inside.findings} == {f.code for f in plain.findings}
