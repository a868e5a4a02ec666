"""A random target's answers: which draws choose the worst case, and which other ones score it."""

import torch
from torch import Tensor

from ..results import Phase
from .ledger import CLEAN, Ledger
from .replay import Replayed
from .scene import Scene

SELECTION_DRAWS = 20
"""Draws that say whether a candidate may be the worst case."""
CONFIRMATION_DRAWS = 80
"""Other draws that choose between such a candidate and the worst case so far."""
SCORING_DRAWS = 100
"""Draws that neither chose anything nor were seen by an attack. Source: reference C6, n >= 100."""
NEAR = 0.1
"""By so much a candidate may look better than the worst case so far and is asked again: a standard deviation of a rate
over the first draws."""


def clean(scene: Scene, rows: Tensor) -> tuple[Replayed, Tensor]:
    """The clean samples at `rows`: their score, and the rates (N,) that candidates are compared with.

    The two rest on different draws; a rate to compare with is never 0, so that an attack follows on every sample whose
    score is not 0.
    """
    x, goal = scene.job.x[rows], scene.goal(rows)
    seen = scene.replay(x, rows, goal, phase="clean", draws=SCORING_DRAWS, key=CLEAN, clean=True)
    if not scene.pipeline.random:
        return seen, seen.rate
    key = f"confirm/{CLEAN}"
    rival = scene.replay(x, rows, goal, phase="clean", draws=CONFIRMATION_DRAWS, key=key, clean=True)
    return seen, rival.rate.clamp(min=1 / CONFIRMATION_DRAWS)


def selected(scene: Scene, ledger: Ledger, x: Tensor, rows: Tensor, name: str, *, phase: Phase = "replay") -> Replayed:
    """Candidates x (N, ...) of the attack `name`; those that may replace the worst case are asked again on other draws.

    The luckiest of many candidates is not the worst case, and would keep out the ones that come after it.
    """
    goal = scene.goal(rows)
    seen = scene.replay(x, rows, goal, phase=phase, draws=SELECTION_DRAWS, key=f"select/{name}", clean=False)
    near = (seen.rate <= ledger.rate[rows] + NEAR).nonzero().squeeze(1)
    if not scene.pipeline.random or len(near) == 0:
        return seen
    key, goal = f"confirm/{name}", goal.select(near)
    again = scene.replay(x[near], rows[near], goal, phase=phase, draws=CONFIRMATION_DRAWS, key=key, clean=False)
    seen.rate[near], seen.score[near], seen.label[near] = again.rate, again.score, again.label
    return seen


def score(scene: Scene, ledger: Ledger, rows: Tensor) -> None:
    """Give the worst cases of the samples at `rows` their score; they are fixed from here on."""
    goal = scene.goal(rows)
    seen = scene.replay(ledger.x[rows], rows, goal, phase="replay", draws=SCORING_DRAWS, key="score", clean=False)
    ledger.rate[rows], ledger.prediction[rows] = seen.rate, seen.label
    if scene.pipeline.rejects or scene.job.targets is not None:
        # No break is not yet a right answer: nobody is safer under attack than right without one.
        ledger.rate[rows] = torch.minimum(seen.rate, ledger.clean_rate[rows])


def passes(scene: Scene, draws: int) -> int:
    """Through the model, for each sample that is asked `draws` times."""
    return draws * scene.pipeline.draws if scene.pipeline.random else 1
