"""Other samples whose answers an attack may imitate: clean, accepted, right, and of another class.

What one sample learns of the others here are clean answers, fixed before any attack; the nearest are chosen, so neither
batches nor their order have a say.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import NotApplicableError
from ..randomness import Stream
from ..rejection import FARTHEST
from ..rule import average
from ..stage import Stage

if TYPE_CHECKING:
    from .campaign import Campaign

MOST = 32
"""Guides per sample at most."""
_DRAWS = 8
"""Of a random target, behind one clean answer."""
_NUMBERS = 1 << 24
"""Distances at a time."""


def guides(campaign: "Campaign", loss: str, rows: Tensor, count: int) -> Tensor:
    """For each of the samples at `rows` what the model says of up to `count` others, (N, G, F), NaN where fewer are.

    The nearest of every other class comes first, nearest class first, then the second nearest of each, and so on; for a
    targeted goal all are of the target class.

    Raises:
        NotApplicableError: no sample of the data set is there to be imitated by any other.
    """
    if loss not in campaign.guidance:
        campaign.guidance[loss] = _answers(campaign, features=loss == "match-features")
    answers = campaign.guidance[loss]
    sources = campaign.ledger.right.nonzero().squeeze(1)
    sources = sources[answers[sources].isfinite().all(dim=1)]
    sources = sources[campaign.ids[sources].argsort(stable=True)]
    wanted = campaign.job.targets if campaign.job.targets is not None else campaign.job.y
    kinds = campaign.job.y[sources]
    if campaign.job.targets is not None:
        fitting = bool(torch.isin(wanted, kinds).any())
    else:
        fitting = len(kinds) > 0 and bool((wanted != kinds[0]).any() | (kinds != kinds[0]).any())
    if not fitting:
        raise NotApplicableError("no accepted and right sample of another class is there to be imitated")
    count = max(1, min(count, MOST, len(sources)))
    height = max(1, _NUMBERS // len(sources))
    return torch.cat([_nearest(campaign, answers, part, sources, count) for part in torch.split(rows, height)])


def _nearest(campaign: "Campaign", answers: Tensor, rows: Tensor, sources: Tensor, count: int) -> Tensor:
    kinds = campaign.job.y[sources].expand(len(rows), -1)
    y, targets = campaign.job.y[rows], campaign.job.targets
    foreign = kinds != y[:, None] if targets is None else kinds == targets[rows][:, None]
    far = torch.cdist(answers[rows].double(), answers[sources].double()).nan_to_num(torch.inf)
    far = torch.where(foreign, far, torch.inf)
    chosen = torch.full((len(rows), count, answers.shape[1]), torch.nan, dtype=answers.dtype)
    used = torch.zeros(len(rows), int(campaign.job.y.max()) + 1, dtype=torch.bool)
    everyone = torch.arange(len(rows))
    for number in range(count):
        fresh = torch.where(used.gather(1, kinds), torch.inf, far)
        # Every class has had its turn: the next round begins.
        over = fresh.amin(dim=1).isinf()
        used[over] = False
        distance, place = torch.where(over[:, None], far, fresh).min(dim=1)
        found = distance.isfinite()
        chosen[found, number] = answers[sources[place[found]]]
        used[everyone, kinds[everyone, place]] = True
        far[everyone, place] = torch.inf
    return chosen


def _answers(campaign: "Campaign", *, features: bool) -> Tensor:
    """The clean samples' logits, or their features by the twin, (n, F) on the CPU; of a random target their mean."""
    pipeline, device = campaign.pipeline, campaign.job.device
    draws = _DRAWS if pipeline.random else 1
    stream = Stream.create(campaign.job.seed, "guides", campaign.ids.to(device))
    found = []
    for rows in torch.split(torch.arange(len(campaign.job.x)), max(1, campaign.batch // draws)):
        campaign.meter.count("controls", rows, forward=draws * (2 if features else 1))
        x = campaign.inputs(rows).repeat_interleave(draws, dim=0)
        keys = stream.select(rows.to(device)).fold(draws)
        with torch.no_grad():
            if features:
                bpda = pipeline.classifier.differentiable() is None
                decision = pipeline.differentiable(x, keys, _as_deployed, bpda=bpda, features=True)
            else:
                decision = pipeline.once(x, keys)
            if pipeline.rule.kind != "single":
                decision, times = average(decision, draws), 1
            else:
                times = draws
        values = decision.features if features else decision.logits
        assert values is not None
        found.append(values.reshape(-1, times, values.shape[1]).mean(dim=1).float().clamp(-FARTHEST, FARTHEST).cpu())
    return torch.cat(found)


def _as_deployed(stage: Stage, x: Tensor, stream: Stream) -> Tensor:
    return stage.forward(x, stream)
