"""The mapping from the caller's pixels to the model's numbers."""

from typing import Any

import pytest
import torch
from torch import Tensor

from robcheck.adapters.preprocessing import Preprocessing, advice, parse_channels, parse_range, probe_contract
from robcheck.harness.errors import UsageError

X = torch.rand(5, 3, 4, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("text", "limits"),
    [("0-1", (0, 1)), ("0-255", (0, 255)), ("-1-1", (-1, 1)), ("-1--0.5", (-1, -0.5)), ("0, 1", (0, 1))],
)
def test_ranges_are_parsed(text: str, limits: tuple[float, float]) -> None:
    assert parse_range(text) == limits


@pytest.mark.parametrize("text", ["", "0", "1-0", "a-b", "0-1-2", "0-inf", "1-1"])
def test_bad_ranges_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_range(text)
    assert "\n" not in str(caught.value)


def test_channels_are_parsed() -> None:
    assert parse_channels("0.5,0.25, 1") == (0.5, 0.25, 1.0)
    for text in ("", "a", "1,nan", "1;2"):
        with pytest.raises(UsageError):
            parse_channels(text, "std")


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0)])
def test_nothing_to_do_is_the_same_tensor(bounds: tuple[float, float]) -> None:
    assert Preprocessing(bounds=bounds)(X) is X
    assert Preprocessing(bounds=bounds, input_range=bounds, layout="nchw")(X) is X


def test_range_mean_and_layout_agree_with_the_formula() -> None:
    assert torch.equal(Preprocessing(input_range=(0, 255))(X), X * 255)
    assert torch.allclose(Preprocessing(bounds=(0, 255), input_range=(-1, 1))(X * 255), X * 2 - 1, atol=1e-6)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    expected = (X - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    assert torch.allclose(Preprocessing(mean=mean, std=std)(X), expected)
    assert torch.allclose(Preprocessing(bounds=(0, 255), mean=mean, std=std)(X * 255), expected, atol=1e-6)
    assert torch.equal(Preprocessing(layout="nhwc")(X), X.permute(0, 2, 3, 1))
    flat = X.flatten(1)
    assert torch.allclose(Preprocessing(mean=(0.5,), std=(0.25,))(flat), (flat - 0.5) / 0.25)


def test_the_gradient_reaches_the_pixels() -> None:
    x = X.clone().requires_grad_()
    Preprocessing(mean=(0.0, 0.0, 0.0), std=(0.5, 0.5, 0.25), layout="nhwc")(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad[0, :, 0, 0], torch.tensor([2.0, 2.0, 4.0]))


@pytest.mark.parametrize(
    "options",
    [
        {"mean": (0.5,)},
        {"std": (0.5,)},
        {"mean": (0.5, 0.5), "std": (0.5,)},
        {"mean": (0.5,), "std": (0.0,)},
        {"mean": (0.5,), "std": (0.5,), "input_range": (0, 1)},
        {"bounds": (1, 0)},
        {"input_range": (0, float("inf"))},
        {"layout": "chw"},
    ],
)
def test_contradictions_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        Preprocessing(**options)
    assert "\n" not in str(caught.value)


def test_settings_that_do_not_fit_the_samples_are_refused() -> None:
    with pytest.raises(UsageError, match="2 values"):
        Preprocessing(mean=(0.5, 0.5), std=(1, 1))(X)
    with pytest.raises(UsageError, match="nhwc"):
        Preprocessing(layout="nhwc")(X.flatten(1))


def test_the_probe_finds_the_range_that_the_model_wants() -> None:
    x = torch.rand(64, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    y = (x.flatten(1).mean(dim=1) > 0.5).long()

    def forward(z: Tensor) -> Tensor:
        assert z.shape[1] == 3, "this model takes channels first"
        return torch.stack([torch.full((len(z),), 127.5), z.flatten(1).mean(dim=1)], dim=1)

    def picky(z: Tensor) -> Tensor:
        if z.shape[1] != 3:
            raise RuntimeError("wrong layout")
        return forward(z)

    scores = probe_contract(picky, x, y)
    assert scores[0].description == "the stated contract"
    assert scores[1] == ("--range 0-255", 1.0)
    assert "--range 0-255" in str(advice(scores))
    assert not any("layout" in score.description for score in scores)
    right = probe_contract(picky, x, y, stated=Preprocessing(input_range=(0, 255)))
    assert right[0].accuracy == 1.0
    assert advice(right) is None
    assert all(score.description != "--range 0-255" for score in right)
