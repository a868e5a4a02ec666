"""The reference defenses, and how a user names them."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from robcheck.harness.defenses import DEFENSES, Jpeg, ResizePad, parse_defense
from robcheck.harness.errors import UsageError
from robcheck.harness.randomness import Stream


def stream(*ids: int, name: str = "d", seed: int = 0) -> Stream:
    return Stream.create(seed, name, torch.tensor(ids))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [20, 75, 95])
def test_jpeg_is_pillows(channels: int, quality: int) -> None:
    x = torch.rand(3, channels, 9, 14, generator=torch.Generator().manual_seed(0))
    got = Jpeg(quality=quality).forward(x, stream(0, 1, 2))
    assert got.shape == x.shape
    assert got.dtype == x.dtype
    for image, expected in zip(x, got, strict=True):
        pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        buffer = io.BytesIO()
        Image.fromarray(pixels.squeeze()).save(buffer, "JPEG", quality=quality)
        decoded = np.asarray(Image.open(buffer)).reshape(9, 14, channels)
        assert torch.equal(expected, torch.from_numpy(decoded.copy()).permute(2, 0, 1) / 255)


def test_jpeg_loses_more_at_less_quality() -> None:
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    lost = [float((Jpeg(quality=q).forward(x, stream(0, 1)) - x).abs().mean()) for q in (10, 50, 95)]
    assert lost == sorted(lost, reverse=True)
    assert Jpeg(quality=10).label == "jpeg:quality=10"
    assert not Jpeg().random
    assert Jpeg().surrogate.kind == "identity"


@pytest.mark.parametrize("shape", [(2, 2, 8, 8), (2, 4, 8, 8), (2, 64), (2, 8, 8)])
def test_jpeg_wants_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="jpeg needs images"):
        Jpeg().forward(torch.zeros(shape), stream(0, 1))


def test_resize_pad_wants_images() -> None:
    with pytest.raises(UsageError, match="resize-pad needs images"):
        ResizePad().forward(torch.zeros(2, 64), stream(0, 1))


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    smallest=st.floats(0.05, 0.99),
    seed=st.integers(0, 10**6),
)
def test_resize_pad_stays_an_image(height: int, width: int, smallest: float, seed: int) -> None:
    x = torch.rand(4, 2, height, width, generator=torch.Generator().manual_seed(seed))
    y = ResizePad(smallest=smallest).forward(x, stream(0, 1, 2, 3, seed=seed))
    assert y.shape == x.shape
    assert y.min() >= 0
    assert y.max() <= 1 + 1e-6
    white = ResizePad(smallest=smallest).forward(torch.ones_like(x), stream(0, 1, 2, 3, seed=seed))
    # A white image becomes a white rectangle of whole pixels on black.
    assert ((white - white.round()).abs() < 1e-6).all()
    rows, columns = white[:, 0].amax(dim=2).sum(dim=1), white[:, 0].amax(dim=1).sum(dim=1)
    assert torch.allclose(white[:, 0].sum(dim=(1, 2)), rows * columns)
    assert (rows >= max(1, round(smallest * height))).all()
    assert (columns >= max(1, round(smallest * width))).all()


def test_resize_pad_reaches_every_size_and_corner() -> None:
    n = 4000
    white = ResizePad(smallest=0.5).forward(torch.ones(n, 1, 8, 8), Stream.create(0, "many", torch.arange(n)))
    sizes = white[:, 0].amax(dim=2).sum(dim=1).round().long()
    counts = torch.bincount(sizes, minlength=9)[4:9]
    assert counts.sum() == n
    assert (counts - n / 5).abs().max() < 5 * (n * 0.2 * 0.8) ** 0.5
    small = white[sizes == 4, 0]
    for corner in (small[:, 0, 0], small[:, 0, -1], small[:, -1, 0], small[:, -1, -1]):
        assert 0 < corner.mean() < 0.2
    offset_y, offset_x = (small.amax(dim=axis).argmax(dim=1).double() for axis in (2, 1))
    assert abs(float(torch.corrcoef(torch.stack([offset_y, offset_x]))[0, 1])) < 0.2


def test_resize_pad_draws_by_key_alone() -> None:
    x = torch.rand(1, 1, 10, 10, generator=torch.Generator().manual_seed(0)).repeat(60, 1, 1, 1)
    defense, ids = ResizePad(smallest=0.3), range(60)
    base = defense.forward(x, stream(*ids))
    assert torch.equal(base, defense.forward(x, stream(*ids)))
    assert torch.equal(base[3:5], defense.forward(x[3:5], stream(3, 4)))
    # Of about 200 pictures, one draw in eight is the whole image.
    assert len({tuple(image.flatten().tolist()) for image in base}) >= 35
    for other in (stream(*ids, seed=1), stream(*ids).child("gradient/1")):
        assert not torch.equal(base, defense.forward(x, other))


def test_resize_pad_has_the_gradient_that_it_says() -> None:
    x = torch.rand(2, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    defense = ResizePad(smallest=0.6)

    def smooth(points: torch.Tensor) -> torch.Tensor:
        shrunk = defense.forward(points.float(), stream(7, 8)).double()
        return (shrunk**2).sum()

    (gradient,) = torch.autograd.grad(smooth(x), [x])
    direction = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        slope = (smooth(x + 1e-2 * direction) - smooth(x - 1e-2 * direction)) / 2e-2
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-3)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jpeg", Jpeg()),
        ("jpeg:", Jpeg()),
        ("jpeg:quality=30", Jpeg(quality=30)),
        ("resize-pad:smallest=1/2", ResizePad(smallest=0.5)),
        ("resize-pad:smallest=0.9", ResizePad(smallest=0.9)),
        ("resize-pad: smallest = 0.25", ResizePad(smallest=0.25)),
    ],
)
def test_descriptions(text: str, expected: object) -> None:
    parsed = parse_defense(text)
    assert parsed == expected
    assert parse_defense(parsed.label) == parsed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jpg", "did you mean 'jpeg'"),
        ("", "is not known"),
        ("jpeg:qualty=75", "keys are quality"),
        ("jpeg:75", "no key=value pair"),
        ("jpeg:quality=", "is not a number"),
        ("jpeg:quality=high", "is not a number"),
        ("jpeg:quality=1/0", "is not a number"),
        ("jpeg:quality=0", "greater than or equal to 1"),
        ("jpeg:quality=101", "less than or equal to 100"),
        ("jpeg:quality=75.5", "integer"),
        ("resize-pad:smallest=1", "less than 1"),
        ("resize-pad:smallest=nan", "smallest"),
        ("resize-pad:smallest=1e400", ""),
        ("resize-pad:smallest=-0.5", "greater than 0"),
    ],
)
def test_what_is_no_description(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_defense(text)
    message = str(caught.value)
    assert words in message
    assert len(message.splitlines()) == 1


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(st.text(max_size=20), st.text("jpegrsiz-d:qualty=smet0123456789./,e ", max_size=30)))
def test_no_text_crashes_the_parser(text: str) -> None:
    for candidate in (text, f"jpeg:{text}", f"resize-pad:smallest={text}"):
        message = ""
        try:
            parse_defense(candidate)
        except UsageError as error:
            message = str(error)
        assert len(message.splitlines()) <= 1


def test_a_key_twice_is_an_error() -> None:
    with pytest.raises(UsageError):
        parse_defense("jpeg:quality=75,quality=10")


def test_every_defense_says_why_its_surrogate_is_right() -> None:
    for name, defense in DEFENSES.items():
        assert defense.model_fields["defense"].default == name
        assert defense.surrogate.reason
        assert (defense.__doc__ or "").strip()
        assert defense().label.startswith(name)
