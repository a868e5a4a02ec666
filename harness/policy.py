"""What has to change in an attack for a target of some kind: the table that the plan is read from, with its reasons.

Rows are read in order. Of the rows of a field whose family and trait fit, the first one decides; for `gradient` it
names the kinds to be tried, for `escalate` every fitting row adds a kind to go on with.
Sources that are measured: the reference products on the digits, 100 to 120 images, Linf radii 0.1, 0.15 and 0.2.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Family = Literal["climbing", "minimum-norm", "latent", "transfer", "scores", "decisions"]
Field = Literal["leave out", "gradient", "escalate", "draws", "answers", "loss", "step_size", "momentum"]
Trait = Literal[
    "any",
    # Of the target.
    "random",
    "noisy classifier",
    "rejecting",
    "accepting",
    "no gradient",
    "differentiable",
    "obstacle",
    "sorting",
    "inexact stage",
    "opaque stage",
    "identity stages",
    "optimising",
    "huge logits",
    # Of the gradient that was chosen.
    "averaged gradient",
    # Of an entry of the suite, before this target and threat.
    "norm not asked",
    "no such norm",
    "no targeted form",
    "detector loss",
    "no features",
    "features from answers",
    "no generator",
    "misfit",
    "others climb",
    "source surrogate",
    "source student",
    "source twin",
    "nothing around",
    "reshaped",
]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    field: Field
    families: tuple[Family, ...]
    trait: Trait
    """What has to hold of target or entry."""
    value: str | float | tuple[str, ...] | None
    """What the field becomes; None: what the attack says itself."""
    reason: str
    """As the plan shows it; names in braces are filled in."""
    source: str
    cost: str = ""
    """What leaving the entry out costs in trust; empty: nothing."""
    also: Trait = "any"
    """What has to hold besides."""

    def fits(self, family: Family, traits: Collection[Trait]) -> bool:
        """Whether the row speaks of such an attack on such a target."""
        return family in self.families and {self.trait, self.also} <= {"any", *traits}


CLIMBING: tuple[Family, ...] = ("climbing",)
MINIMUM: tuple[Family, ...] = ("minimum-norm",)
LATENT: tuple[Family, ...] = ("latent",)
DIRECT: tuple[Family, ...] = ("climbing", "minimum-norm", "latent")
TRANSFER: tuple[Family, ...] = ("transfer",)
SCORES: tuple[Family, ...] = ("scores",)
DECISIONS: tuple[Family, ...] = ("decisions",)
ANSWERS: tuple[Family, ...] = ("scores", "decisions")
EVERY: tuple[Family, ...] = (*DIRECT, *TRANSFER, *ANSWERS)

HUGE_LOGITS = 100.0
"""Softmax in float32 gives exactly 0 from a difference of 104 on, so that cross-entropy has no slope left there."""

_ATHALYE = "Athalye, Carlini and Wagner 2018"
_TRAMER = "Tramer et al. 2020"
_RAND = "AutoAttack (Croce and Hein 2020), version rand"
_BLIND = "gradient attacks are blind here, so the number rests on answers alone: it stands against a PASS"
_UNCHECKED = "masked gradients show less surely: this search without gradients does not check them"

TABLE: tuple[Row, ...] = (
    # What is left out.
    Row("leave out", EVERY, "norm not asked", "", "the suite runs it in {norms} only", "the suite"),
    Row("leave out", ANSWERS, "no such norm", "", "{attack} has no {norm} form", "its paper", _UNCHECKED),
    Row("leave out", EVERY, "no such norm", "", "{attack} has no {norm} form", "its paper"),
    Row("leave out", EVERY, "no targeted form", "", "{attack} has no targeted form", "its paper"),
    Row("leave out", EVERY, "accepting", "", "the target never rejects", "reference sheet C7", also="detector loss"),
    Row("leave out", EVERY, "no features", "", "the model offers no features", _TRAMER),
    Row("leave out", LATENT, "no generator", "", "no stage puts its input on the range of a generator", _ATHALYE),
    Row("leave out", TRANSFER, "nothing around", "", "no defense: the bare model is the target itself", "Carlini 2019"),
    Row("leave out", TRANSFER, "reshaped", "", "the bare model takes no samples as they are", "shapes",
        "whether points of the bare model break the whole is not asked"),
    Row("leave out", DIRECT, "misfit", "", "{gradient} makes no sense here: {why}", "harness/gradients/fitting.py",
        "what the suite fixed cannot be done, so this attack proves nothing: it stands against a PASS"),
    Row("leave out", DIRECT, "no gradient", "", "no gradient: {why}", _ATHALYE + ", 3.1", _BLIND),
    Row("leave out", TRANSFER, "no gradient", "", "no gradient: {why}", _ATHALYE + ", 3.1", _BLIND,
        also="source twin"),
    Row("leave out", DIRECT, "features from answers", "", "{gradient} asks for answers, which hold no features",
        _TRAMER),
    Row("leave out", MINIMUM, "random", "",
        "not recommended: a random target has no boundary to step onto; the climbing attacks average over draws",
        _RAND + ", which leaves FAB out", "little: the same ball is searched by climbing attacks on the same draws",
        also="others climb"),
    # On what gradient: the kinds to be tried, the best founded first.
    Row("gradient", DIRECT, "opaque stage", ("bpda-identity", "unrolled"),
        "{stage} declares no surrogate, so the identity is tried", _ATHALYE + ", 4.1"),
    Row("gradient", DIRECT, "identity stages", ("bpda-identity", "unrolled"), "{stage}: {why}", _ATHALYE + ", 4.1"),
    Row("gradient", DIRECT, "inexact stage", ("bpda", "unrolled"), "{stage}: {why}", _ATHALYE + ", 4.1"),
    Row("gradient", DIRECT, "sorting", ("exact", "bpda", "smoothed"), "{names}",
        _TRAMER + ", 5 (k-WTA); measured: k-wta falls to 23 % by smoothed, to 46 % by exact gradients"),
    Row("gradient", DIRECT, "obstacle", ("exact", "bpda"), "{names}", _ATHALYE + ", 4.1"),
    Row("gradient", DIRECT, "any", ("exact",), "differentiable end to end", "Madry et al. 2018"),
    Row("gradient", TRANSFER, "source surrogate", ("exact",),
        "points from a surrogate trained on the same samples", "Papernot et al. 2017"),
    Row("gradient", TRANSFER, "source student", ("distilled",),
        "points from a student trained on the target's answers", "Papernot et al. 2017"),
    Row("gradient", TRANSFER, "obstacle", ("bpda",), "points from the bare model, around its defenses",
        "One Man's Trash is Another Man's Treasure, 4"),
    Row("gradient", TRANSFER, "any", ("exact",), "points from the bare model, around its defenses",
        "One Man's Trash is Another Man's Treasure, 4"),
    Row("gradient", SCORES, "any", (), "asks for scores of the deployed model, so nothing can mask it",
        "Andriushchenko et al. 2020"),
    Row("gradient", DECISIONS, "any", (), "asks for decisions of the deployed model, so nothing can mask it",
        "Chen et al. 2020"),
    # Where a gradient led nowhere: what to go on with, in order.
    Row("escalate", DIRECT, "obstacle", "bpda", "stand-ins for operators without a slope", _ATHALYE + ", 4.1"),
    Row("escalate", DIRECT, "inexact stage", "bpda", "the surrogates that stages declare", _ATHALYE + ", 4.1"),
    Row("escalate", DIRECT, "inexact stage", "bpda-identity", "the identity in the place of stages",
        _ATHALYE + ", 4.1"),
    Row("escalate", DIRECT, "optimising", "unrolled", "through the steps of a stage that optimises",
        "reference sheet A4"),
    Row("escalate", DIRECT, "differentiable", "smoothed", "the mean gradient over a cloud of neighbours",
        "Pintor et al. 2022, 4; " + _TRAMER + ", 5"),
    Row("escalate", DIRECT, "any", "nes", "slopes from deployed answers alone", "Ilyas et al. 2018; " + _TRAMER),
    Row("escalate", DIRECT, "inexact stage", "reparameterised", "a network trained in the place of each stage",
        _ATHALYE + ", 4.3"),
    Row("escalate", DIRECT, "accepting", "distilled", "a student trained on the target's answers",
        "Papernot et al. 2017"),
    # Draws of a random target behind one gradient, or behind one answer.
    Row("draws", DIRECT, "random", 20, "random, so {draws} draws", _RAND),
    Row("draws", SCORES, "noisy classifier", 16, "random",
        "measured: two points cannot be asked with the same draws where the noise lies in the classifier"),
    Row("draws", ANSWERS, "random", 5, "random", "measured on the reference products"),
    Row("draws", EVERY, "any", 1, "nothing is random, so one draw is enough", "determinism"),
    # What one answer is to an attack that asks for answers alone.
    Row("answers", SCORES, "random", "mean of {draws} draws", "so an answer is the mean of {draws} draws",
        "reference sheet A7"),
    Row("answers", DECISIONS, "random", "majority of {draws} draws", "so an answer is the majority of {draws} draws",
        "reference sheet A7"),
    Row("answers", SCORES, "rejecting", "the smaller of margin and acceptance", "rejected is not yet broken",
        "reference sheet A7"),
    Row("answers", DECISIONS, "rejecting", "accepted and wrong", "rejected is not yet broken", "reference sheet A7"),
    # What is climbed, where the suite says `loss: auto`.
    Row("loss", CLIMBING, "rejecting", "joint", "it may refuse to answer, so wrong and accepted are climbed together",
        "measured on detector at 0.05, 0.1, 0.2: APGD 89, 59, 7 %, with cross-entropy 89, 67, 13 %"),
    Row("loss", (*CLIMBING, *LATENT), "huge logits", "dlr",
        "logits of {scale:.0f} leave cross-entropy no slope, and dlr knows no scale", "Croce and Hein 2020, 4"),
    Row("loss", (*CLIMBING, *LATENT), "any", None, "", "the attack's own"),
    # How the step is chosen, where the suite says `step_size: auto`.
    Row("step_size", CLIMBING, "averaged gradient", None,
        "steps from the full radius down, also of averaged gradients",
        "measured on k-wta at 0.1: 23 %, with a fixed tenth of the radius 28 %, a twentieth 37 %"),
    Row("step_size", CLIMBING, "any", None, "", "the attack's own; Liu et al. 2022, 3.3"),
    # What is kept of earlier gradients, where the suite says `momentum: auto`.
    Row("momentum", CLIMBING, "random", 0.0, "no momentum: it gained nothing on random targets",
        "measured at 0.1, without and with 0.9: resize-pad 31.3 % and 33.4 %, gaussian-noise 61.1 % and 61.3 %, "
        "dropout 56.9 % and 57.0 %"),
    Row("momentum", CLIMBING, "averaged gradient", 0.0, "no momentum on averaged gradients",
        "measured on k-wta at 0.1: 23 % without, 26 % with 0.9"),
    Row("momentum", (*CLIMBING, *TRANSFER), "any", None, "", "the attack's own"),
)  # fmt: skip

STEPS: dict[str, str] = {
    "fgsm": "one of eps",
    "pgd": "cosine from eps",
    "apgd": "halving from 2 eps",
    "fab": "onto the boundary",
    "latent": "cosine from eps",
    "transfer": "2.5 eps / steps",
}
"""The step rule of each attack that follows gradients, where the suite fixes no size."""


def first(field: Field, family: Family, traits: Collection[Trait]) -> Row | None:
    """The row that decides a field; None where the table is silent."""
    return next(iter(fitting(field, family, traits)), None)


def fitting(field: Field, family: Family, traits: Collection[Trait]) -> tuple[Row, ...]:
    """Every row of a field that fits, in order."""
    return tuple(row for row in TABLE if row.field == field and row.fits(family, traits))
