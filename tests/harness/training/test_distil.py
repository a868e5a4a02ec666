"""Students of a whole pipeline: teachers whose answers are known."""

import torch
from torch import Tensor

from robcheck.harness.randomness import Stream
from robcheck.harness.training.distil import Teacher, distil

BALL = torch.full((1, 1, 1, 1), 0.1)


def pixels(n: int, *shape: int) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))


def brightest_row(noise: float = 0.0) -> Teacher:
    """Which of the rows of an image is the brightest, or of the three parts of a vector; noisy if told so."""

    def teacher(x: Tensor, stream: Stream) -> Tensor:
        sums = x.reshape(len(x), 3, -1).mean(dim=2)
        return torch.softmax(60 * (sums + noise * stream.normal(0, (3,))), dim=1)

    return teacher


def test_a_student_learns_and_one_step_is_not_enough() -> None:
    x = pixels(150, 1, 3, 3)
    good = distil(brightest_row(), x, 3, radius=BALL, seed=0, steps=150)
    bad = distil(brightest_row(), x, 3, radius=BALL, seed=0, steps=1)
    assert good.agreement > 0.9
    assert good.around > 0.85
    assert good.samples == 30
    assert bad.agreement < 0.75
    # The report is what it says, on samples that nobody has seen.
    fresh = torch.rand(400, 1, 3, 3, generator=torch.Generator().manual_seed(5))
    truth = fresh.mean(dim=3).flatten(1).argmax(dim=1)
    assert abs(float((good.network(fresh).argmax(dim=1) == truth).float().mean()) - good.agreement) < 0.12


def test_a_noisy_teacher_of_flat_samples_is_learned_in_the_mean() -> None:
    x = pixels(150, 12)
    student = distil(brightest_row(0.05), x, 3, radius=torch.full((1, 1), 0.05), seed=0, steps=200)
    truth = x.reshape(-1, 3, 4).mean(dim=2).argmax(dim=1)
    assert (student.network(x).argmax(dim=1) == truth).float().mean() > 0.85


def test_questions_stay_in_ball_and_bounds_and_every_one_has_its_own_draws() -> None:
    x = torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 4 - 2
    asked: list[Tensor] = []

    def teacher(points: Tensor, stream: Stream) -> Tensor:
        asked.append(points)
        assert len(points) == len(stream.keys)
        assert len(stream.keys.unique()) == len(points)
        assert not torch.is_grad_enabled()
        return torch.full((len(points), 4), 0.25)

    distil(teacher, x, 4, radius=BALL * 5, seed=0, steps=6, bounds=(-2.0, 2.0))
    points = torch.cat(asked)
    assert points.min() >= -2
    assert points.max() <= 2
    distance = (points[:, None] - x[None]).abs().flatten(2).amax(dim=2).amin(dim=1)
    assert distance.max() <= 0.5 + 1e-5
    assert distance.max() > 0.4
    assert (distance == 0).any()


def test_the_same_again_whatever_the_global_generator() -> None:
    x = pixels(25, 2, 20, 20)
    told: list[int] = []
    students = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        radius = BALL if noise == 1 else BALL.expand(25, 1, 1, 1)
        students.append(distil(brightest_of_corners, x, 3, radius=radius, seed=4, steps=5, progress=told.append))
        assert torch.equal(torch.get_rng_state(), before)
    assert sum(told) == 10
    assert torch.equal(students[0].network(x), students[1].network(x))
    assert students[0].agreement == students[1].agreement


def brightest_of_corners(x: Tensor, stream: Stream) -> Tensor:
    return torch.softmax(5 * x[:, :1, 0, :3].flatten(1) + stream.uniform(0, (3,)), dim=1)


def test_answers_that_are_no_number_teach_nothing_and_agree_with_nothing() -> None:
    def teacher(points: Tensor, stream: Stream) -> Tensor:  # noqa: ARG001
        return torch.full((len(points), 3), torch.nan)

    student = distil(teacher, pixels(10, 1, 4, 4), 3, radius=BALL, seed=0, steps=3)
    assert student.network(pixels(2, 1, 4, 4)).isfinite().all()
    assert (student.agreement, student.around, student.uphill) == (0, 0, 0)
