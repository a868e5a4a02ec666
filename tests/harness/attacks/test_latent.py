"""Through a generator: closed forms on affine ranges, where the stage is a projection that hides the normal."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from robcheck.harness.attacks import ATTACKS
from robcheck.harness.attacks.codes import descended, followed, tangential
from robcheck.harness.attacks.latent import Latent, latent
from robcheck.harness.decision import Objective
from robcheck.harness.errors import NoGradientError
from robcheck.harness.execution.coordinates import Coordinates
from robcheck.harness.geometry import Norm
from robcheck.harness.gradients import BpdaIdentity
from robcheck.harness.planner import plan
from robcheck.harness.randomness import Stream
from robcheck.harness.request import Request
from robcheck.harness.stage import Surrogate
from robcheck.harness.target import Problem

pytestmark = pytest.mark.slow

Make = Callable[..., Problem]
D, CODES = 12, 4


class Affine(nn.Module):
    """Images offset + A z; `bend` curves them."""

    def __init__(self, bend: float = 0.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        # Columns of very different length: what is easy for a code is hard for another.
        self.matrix = torch.randn(D, CODES, generator=generator) * torch.tensor([1.0, 0.5, 2.0, 0.3])
        self.bend = bend

    def forward(self, z: Tensor) -> Tensor:
        return 0.5 + z @ self.matrix.T + self.bend * (2 * z @ self.matrix.T).sin()

    @property
    def onto(self) -> Tensor:
        """The orthogonal projection on the columns."""
        return self.matrix @ torch.linalg.pinv(self.matrix)


@dataclass(frozen=True)
class Nearest:
    """Puts x on the range: exactly where it is affine, by descent where it is bent."""

    decoder: Affine
    label: str = "nearest"
    random: bool = False
    surrogate: Surrogate = Surrogate("identity", "close to how it went in")  # noqa: RUF009

    def latent(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        z = (x - 0.5) @ torch.linalg.pinv(self.decoder.matrix).T
        for _ in range(60 if self.decoder.bend else 0):
            with torch.enable_grad():
                z = z.detach().requires_grad_(True)
                jacobian = torch.func.vmap(torch.func.jacrev(self.decoder))(z)
            z = z - torch.linalg.lstsq(jacobian, (self.decoder(z) - x)[..., None]).solution[..., 0]
        return z.detach()

    def generate(self, z: Tensor) -> Tensor:
        return self.decoder(z)

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        with torch.no_grad():
            return self.generate(self.latent(x, stream))

    def replacement(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        return x


def samples(linear: nn.Module, decoder: Affine, n: int = 30) -> tuple[Tensor, Tensor]:
    """Points near the range, labelled by what is deployed."""
    z = 0.15 * torch.randn(n, CODES, generator=torch.Generator().manual_seed(4))
    x = decoder(z).detach() + 0.02 * torch.randn(n, D, generator=torch.Generator().manual_seed(5))
    return x, linear(Nearest(decoder).forward(x, None)).argmax(dim=1)  # type: ignore[arg-type]


def closest(linear: nn.Module, decoder: Affine, x: Tensor, y: Tensor, norm: Norm) -> Tensor:
    """The least radius that moves the projection of x over a boundary: |margin| / dual norm of the projected slope."""
    stage, best = Nearest(decoder), torch.full((len(x),), torch.inf)
    logits = linear(stage.forward(x, None))  # type: ignore[arg-type]
    for j in range(len(linear.weight)):
        slope = (linear.weight[j] - linear.weight[y]) @ decoder.onto
        size = torch.linalg.vector_norm(slope, ord={"linf": 1, "l2": 2}[norm], dim=1)
        margin = logits.gather(1, y[:, None])[:, 0] - logits[:, j]
        best = torch.where(y == j, best, torch.minimum(best, margin / size.clamp(min=1e-9)))
    return best


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_breaks_exactly_what_can_be_broken(norm: Norm, linear: nn.Module, make_problem: Make) -> None:
    """The identity's gradient does not know which of its parts the stage takes away, and falls short."""
    decoder = Affine()
    x, y = samples(linear, decoder)
    stage, radius = Nearest(decoder), closest(linear, decoder, x, y, norm)

    def broken(name: str, factor: float, **parameters: object) -> Tensor:
        problem = make_problem(
            linear, x, y, radius * factor, norm, stages=(stage,), lower=-99.0, upper=99.0, gradient="bpda-identity"
        )
        points = ATTACKS[name].run(problem, ATTACKS[name].config(**parameters))
        assert problem.ball.contains(points).all()
        return linear(stage.forward(points, None)).argmax(dim=1) != y  # type: ignore[arg-type]

    assert broken("latent", 1.02, steps=30).all()
    assert not broken("latent", 0.98, steps=30).any()
    assert broken("pgd", 1.02, steps=60).float().mean() < 0.9


def test_the_tangent_and_the_closest_code_of_an_affine_range(linear: nn.Module, make_problem: Make) -> None:
    decoder = Affine()
    x, y = samples(linear, decoder)
    generator = make_problem(linear, x, y, 0.1, stages=(Nearest(decoder),)).target.generator()
    slope = torch.randn(30, D, generator=torch.Generator().manual_seed(6))
    z = torch.randn(30, CODES, generator=torch.Generator().manual_seed(7))
    along = tangential(generator, z, slope)
    error = (along - slope @ decoder.onto).norm(dim=1) / (slope @ decoder.onto).norm(dim=1)
    assert error.max() < 0.05  # of the damping, most along the shortest column
    truth = (x - 0.5) @ torch.linalg.pinv(decoder.matrix).T
    found = followed(generator, z, x)
    assert ((found - truth).norm(dim=1) < 0.02 * (z - truth).norm(dim=1)).all()


def test_codes_follow_on_a_bent_range(linear: nn.Module, make_problem: Make) -> None:
    """From the code of a near point to that of x; never farther away than it was."""
    decoder = Affine(bend=0.2)
    x, y = samples(linear, decoder)
    generator = make_problem(linear, x, y, 0.1, stages=(Nearest(decoder),)).target.generator()
    truth = generator.codes(x, 0)
    start = generator.codes(x + 0.05 * torch.randn(30, D, generator=torch.Generator().manual_seed(8)), 0)
    found = followed(generator, start, x)
    off = [(decoder(z) - x).norm(dim=1) for z in (found, start, truth)]
    assert (off[0] <= off[1]).all()
    assert torch.allclose(off[0], off[2], rtol=0.02)


def test_a_bent_range_falls_too(linear: nn.Module, make_problem: Make) -> None:
    """Where the tangent turns, at twice what the flat range needs; the code alone also leads there."""
    decoder = Affine(bend=0.2)
    stage = Nearest(decoder)
    x, y = samples(linear, decoder)
    radius = 2 * closest(linear, Affine(), x, y, "linf") + 0.02
    problem = make_problem(linear, x, y, radius, stages=(stage,), lower=-99.0, upper=99.0, gradient="bpda-identity")
    points = latent(problem, Latent(steps=40))
    wrong = linear(stage.forward(points, None)).argmax(dim=1) != y  # type: ignore[arg-type]
    assert wrong.float().mean() > 0.9
    images = decoder(descended(problem, Objective("margin", problem.goal), 120, 0))
    near = problem.ball.distances(images) - problem.ball.eps
    assert (linear(images).argmax(dim=1) != y).float().mean() > 0.4
    assert near.median() < 0.1


def test_without_a_generator_there_is_nothing_to_search(linear: nn.Module, make_problem: Make) -> None:
    x, y = samples(linear, Affine())
    problem = make_problem(linear, x, y, 0.1)
    with pytest.raises(NoGradientError, match="generator"):
        latent(problem, Latent())
    request = Request(name="latent", config=Latent())
    (step,) = plan([request], problem.target.pipeline, "linf", targeted=False)
    assert not step.applies
    assert "generator" in step.reason
    behind_one = make_problem(linear, x, y, 0.1, stages=(Nearest(Affine()),)).target.pipeline
    (step,) = plan([request], behind_one, "linf", targeted=False)
    assert step.runs


class Halved:
    """A stage in front that darkens."""

    label, random, surrogate = "halved", False, Surrogate("exact", "linear")

    def forward(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        return x / 2

    replacement = forward


@dataclass(frozen=True)
class Whole(Nearest):
    """Everything is on the range."""

    def latent(self, x: Tensor, stream: Stream) -> Tensor:  # noqa: ARG002
        return x.clone()

    def generate(self, z: Tensor) -> Tensor:
        return z


def test_codes_and_images_speak_the_language_of_attacks(linear: nn.Module, make_problem: Make) -> None:
    """Bounds of the model, stages in front, rows and parts: the generator itself works on pixels in [0, 1]."""
    x = torch.rand(5, D, generator=torch.Generator().manual_seed(9))
    y = linear(x).argmax(dim=1)
    target = make_problem(linear, x, y, 0.1, stages=(Halved(), Whole(Affine())), batch=2).target
    info = target.pipeline.classifier.info.model_copy(update={"bounds": (-1.0, 3.0)})
    pipeline = replace(target.pipeline, classifier=replace(target.pipeline.classifier, info=info))
    target = replace(target, pipeline=pipeline, coordinates=Coordinates.of_bounds((-1.0, 3.0), 2, "cpu"))
    generator = target.generator()
    assert torch.allclose(generator.codes(x, 0), x / 2, atol=1e-6)
    assert torch.allclose(generator.images(x), x, atol=1e-6)
    behind = generator.behind.decide(x, 0).logits
    assert torch.allclose(behind, linear(4 * x - 1), atol=1e-5)
    part = target.select(torch.tensor([3, 1])).generator()
    assert torch.allclose(part.codes(x[[3, 1]], 0), x[[3, 1]] / 2, atol=1e-6)


def test_behind_a_random_range_one_draw_is_enough(linear: nn.Module, make_problem: Make) -> None:
    decoder = Affine()

    @dataclass(frozen=True)
    class Shaky(Nearest):
        random: bool = True

        def latent(self, x: Tensor, stream: Stream) -> Tensor:
            return super().latent(x, stream) + 0.01 * stream.normal(0, (CODES,))

    x, y = samples(linear, decoder, 6)
    stage = Shaky(decoder)
    problem = make_problem(linear, x, y, 0.3, stages=(stage,), draws=8, gradient=BpdaIdentity())
    behind = problem.target.generator().behind
    assert not behind.random
    assert behind.draws == 1
    assert not torch.equal(*(problem.target.generator().codes(x, step) for step in (0, 1)))
    points = latent(problem, Latent(steps=10))
    order = torch.tensor([2, 5, 0])
    again = make_problem(linear, x[order], y[order], 0.3, ids=order, stages=(stage,), draws=8, gradient=BpdaIdentity())
    assert torch.allclose(latent(again, Latent(steps=10)), points[order], atol=1e-4)
