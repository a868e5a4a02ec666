"""Networks that stand in for the target or a part of it, trained when they are first needed and then kept."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..diagnosis import Fit
from ..gradients import Distilled, Nets, Reparameterised
from ..pipeline import Pipeline
from ..randomness import Stream
from ..stage import Stage
from ..training.distil import distil
from ..training.reparameterise import Reparameterisation, reparameterise
from ..training.surrogate import STEPS, train_surrogate
from .job import Job
from .meter import Meter
from .observer import Observer
from .surrogate import SurrogateClassifier

AGREEING = 0.8
"""Share of points on which a student has to name the target's class, for an attack on it to say something."""
CLEARLY = 0.5
"""Of the error that needs no training: a network has to be at least this much better."""

_CLOSE = 0.25
"""Of the radius: an error that no perturbation is lost in, however good the identity is."""
_CODE = 0.2
"""The same for codes in [0, 1] that are no pixels, of which a constant misses by .3 to .5."""


@dataclass
class Trained:
    """What one evaluation has trained so far."""

    job: Job
    pipeline: Pipeline
    classes: int
    reach: Tensor
    """Largest change per feature that attacks will make, in model units, broadcasting to the samples."""
    meter: Meter
    batch: int
    observer: Observer
    fits: dict[str, Fit] = field(default_factory=dict)
    """How well each network resembles what it stands in for, by the label of the estimator that uses it."""
    _surrogate: SurrogateClassifier | None = None
    _students: dict[Distilled, SurrogateClassifier] = field(default_factory=dict)
    _nets: dict[Reparameterised, Nets] = field(default_factory=dict)

    def surrogate(self) -> SurrogateClassifier:
        """A network of another architecture, trained on the samples and their labels."""
        if self._surrogate is None:
            self.observer.started("train a surrogate", len(self.job.x), STEPS)
            x = self.job.x.to(self.job.device)
            network = train_surrogate(
                x,
                self.job.y.to(x.device),
                self.classes,
                radius=self.reach.to(x.device),
                seed=self.job.seed,
                progress=self.observer.passed,
            )
            self._surrogate = SurrogateClassifier(network, self.pipeline.classifier.info.bounds)
        return self._surrogate

    def student(self, estimator: Distilled) -> SurrogateClassifier:
        """A network that was trained on the answers of the whole target."""
        if estimator not in self._students:
            x, info = self.job.x.to(self.job.device), self.pipeline.classifier.info
            self.observer.started("train a student", len(x), estimator.steps)
            student = distil(
                self._teach,
                x,
                self.classes,
                radius=self.reach.to(x.device),
                seed=self.job.seed,
                steps=estimator.steps,
                bounds=self._bounds,
                progress=self.observer.passed,
            )
            self.fits[estimator.label] = Fit(
                name="the student of the whole target", measured=student.uphill, threshold=AGREEING, share=True
            )
            self._students[estimator] = SurrogateClassifier(student.network, info.bounds)
        return self._students[estimator]

    def nets(self, estimator: Reparameterised) -> Nets:
        """A network for every stage without an exact gradient, each trained on what the stages before it hand on."""
        if estimator not in self._nets:
            low, high = self.pipeline.classifier.info.bounds
            pixels = (self.job.x.to(self.job.device) - low) / ((high - low) or 1.0)
            radius = (self.reach / ((high - low) or 1.0)).to(pixels.device)
            stream = Stream.create(self.job.seed, "nets", torch.arange(len(pixels), device=pixels.device))
            nets = {}
            for number, stage in enumerate(self.pipeline.stages):
                if stage.surrogate.kind != "exact":
                    self.observer.started(f"train a network for {stage.label}", len(pixels), estimator.steps)
                    found = reparameterise(
                        stage,
                        pixels,
                        radius=radius,
                        seed=self.job.seed,
                        steps=estimator.steps,
                        width=estimator.width,
                        progress=self.observer.passed,
                    )
                    nets[stage.label] = found.network
                    self._keep(estimator, stage.label, found)
                pixels = self._behind(stage, pixels, stream.child(f"{number}"))
            self._nets[estimator] = nets
        return self._nets[estimator]

    def _keep(self, estimator: Reparameterised, label: str, found: Reparameterisation) -> None:
        """The worst fit among an estimator's networks speaks for it; errors and radius are in [0, 1] pixels."""
        low, high = self.pipeline.classifier.info.bounds
        least = _CLOSE * float(self.reach.mean()) / ((high - low) or 1.0)
        limit = _CODE if found.identity is None else max(CLEARLY * found.identity, least)
        fit = Fit(name=f"the network for {label}", measured=found.error, threshold=limit, share=False)
        before = self.fits.get(estimator.label)
        if before is None or fit.measured / max(fit.threshold, 1e-12) > before.measured / max(before.threshold, 1e-12):
            self.fits[estimator.label] = fit

    @property
    def _bounds(self) -> tuple[float, float]:
        """Of what attacks may ask about: a box has limits of its own, the model's say nothing there."""
        if self.job.box is None:
            return self.pipeline.classifier.info.bounds
        lower, upper = self.job.box
        return float(lower.min()), float(upper.max())

    def _behind(self, stage: Stage, pixels: Tensor, stream: Stream) -> Tensor:
        """What the stage hands on of pixels (N, ...), a batch at a time."""
        with torch.no_grad():
            rows = torch.split(torch.arange(len(pixels), device=pixels.device), self.batch)
            return torch.cat([stage.forward(pixels[some], stream.select(some)) for some in rows])

    def _teach(self, x: Tensor, stream: Stream) -> Tensor:
        """The target's probabilities, from as many draws as one answer of the product takes."""
        self.meter.count("gradient", torch.arange(len(x)) % len(self.job.x), forward=self.pipeline.draws)
        rows = torch.split(torch.arange(len(x), device=x.device), max(1, self.batch // self.pipeline.draws))
        answers = [self.pipeline.decide(x[some], stream.select(some)).logits for some in rows]
        return torch.softmax(torch.cat(answers), dim=1)
