"""One threshold of a detector in numbers."""

from torch import Tensor

from ..results import Estimate, OperatingPoint
from ..statistics import bootstrap, clopper_pearson
from .campaign import Campaign


def as_point(campaign: Campaign, *, share: float | None = None, held_out: float | None = None) -> OperatingPoint:
    """What the campaign found at its threshold; `held_out` is the share of held-out samples that it rejects."""
    ledger, n = campaign.ledger, len(campaign.job.x)
    unknown, unseen = int(ledger.unknown.sum()), int((ledger.taken & ~ledger.seen).sum())
    return OperatingPoint(
        share=share,
        threshold=campaign.pipeline.threshold,
        clean_accuracy=_estimate(campaign, ledger.clean_rate[ledger.seen], unseen),
        clean_rejection=_estimate(campaign, ledger.clean_refused[ledger.seen].nan_to_num(0.0), unseen),
        robust_accuracy=_estimate(campaign, ledger.rates, unknown),
        not_evaluated=unknown,
        held_out_rejection=held_out,
        attacks=[] if share is None else [record for record in campaign.records if n],
    )


def _estimate(campaign: Campaign, rates: Tensor, unknown: int) -> Estimate:
    """The mean of the rates, and its interval with the unknown samples against it and for it."""
    confidence, n, total = campaign.job.gate.confidence, len(rates) + unknown, float(rates.sum())
    if campaign.pipeline.random:
        interval = bootstrap(rates.tolist(), confidence, unknown=unknown)
    else:
        low = clopper_pearson(total, n, confidence)[0]
        interval = (low, clopper_pearson(min(n, total + unknown), n, confidence)[1])
    return Estimate(value=total / max(len(rates), 1), interval=interval)
