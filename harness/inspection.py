"""A look at a model before anything attacks it: the contract alone."""

from .diagnosis import examine
from .evaluation import Evaluated, prepare
from .execution.campaign import Campaign
from .execution.first_look import described, with_accuracy
from .execution.job import Job
from .execution.observer import Observer, Silent
from .results import Inspection


def look(job: Job, observer: Observer | None = None, *, labelled: bool) -> Inspection:
    """Ask everything that an evaluation asks before its first attack.

    Raises:
        ModelError: the model cannot answer the samples.
    """
    done = Evaluated(job, Campaign.begin(job, observer or Silent()))
    prepare(done)
    probe = with_accuracy(done.campaign, done.probe)
    info = described(done.campaign, probe)
    return Inspection(
        model=info,
        contract=examine(probe, info),
        samples=len(job.x),
        labelled=labelled,
        clean_accuracy=probe.accuracy if labelled else None,
    )
