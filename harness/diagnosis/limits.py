"""Severity and threshold of every check, and where they come from. The checks themselves hold no number."""

from dataclasses import dataclass

from ..gradients.ascent import ASCENDING
from ..gradients.stability import STABLE
from ..results import Severity


@dataclass(frozen=True)
class Limit:
    """When a finding is raised, how severe it is, and who says so."""

    severity: Severity
    threshold: float
    """Beyond it the finding has that severity."""
    source: str
    warning: float | None = None
    """Beyond this it is a warning at least; None: there is no milder form."""
    milder: Severity = "warning"
    """What it is where something else speaks for the model, as the check says."""

    def judge(self, measured: float) -> Severity | None:
        """The severity of a measurement of which more is worse; None where nothing is wrong."""
        if not measured <= self.threshold:
            return self.severity
        return "warning" if self.warning is not None and measured > self.warning else None

    def judge_low(self, measured: float) -> Severity | None:
        """The same of a measurement of which less is worse."""
        if not measured >= self.threshold:
            return self.severity
        return "warning" if self.warning is not None and measured < self.warning else None


P_VALUE = 0.01
"""Of McNemar's test, after Holm over all comparisons of a run. Source: reference sheet C2."""
CHANCE_SIGMAS = 3
"""Above chance, in standard errors, that is still chance. Source: reference sheet C2.5."""
LEAST_SHARE = 0.005
LEAST_SAMPLES = 3
"""A difference that means something: half a point and three samples. Source: reference sheet C2."""

FEW_SHARE = 0.05
"""Fewer than LEAST_SAMPLES that are no larger a part of all say nothing: what is seen on them is a warning. Ours."""

SETTLED_SHARE = 0.005
SETTLED_CLIMB = 0.01
"""A doubling of the steps that breaks and climbs no more changes nothing. Source: reference sheet C2.4."""

DIFFERENCE = 1e-4
"""Largest L2 distance of normalised outputs that is one answer. Source: AutoAttack, flag for randomised models."""
HALF_PRECISION = 5e-3
"""What half precision may round away; scales that are taken from the whole batch would hide behind more. Ours."""
BLIND = 0.25
"""Share of what moves the scores that a gradient may not know of; one that lacks 30 % of the pixels comes to 0.35.
Ours."""
UNSEEN = 7
"""How often as much as the gradient says; a network of ranks comes to five times. Ours."""
ALIKE = 0.3
"""Least correlation of predicted and seen rises. Ours."""
COARSE_SLOPE = 0.2
"""Relative error of a slope in float32, for models that do not run in float64. Ours."""
RIGHT_SLOPES = 0.9
"""Share of samples whose slope has to be right: a sample may sit on a kink. Ours."""
CONFIDENCE = 0.95
"""Of the interval that says whether a shortfall of accuracy may be chance. Ours."""
CHANCE_TIMES, CHANCE_HALF, CHANCE_MOST = 3, 0.5, 0.95
"""A clean accuracy no better than these: so many times chance, or half of the samples; never more than the last. Ours.
"""

LEVEL = 1 / 255
"""One grey level of an 8-bit image."""
SHARE_OF_LEVEL = 0.1
"""A radius of less than this share of a grey level changes nothing. Ours."""
COLOUR_RADIUS = 0.1
"""Linf radius beyond which colour images are seldom attacked: RobustBench has 8/255. Ours."""
DIVIDED_TWICE = 2 / 255
"""Images whose pixels lie within this are no images, but a mistake of scale. Ours."""
NARROW_DATA = 0.25
"""Share of the range that the pixels of many images together fill at least. Ours."""

TRIGGERS: dict[str, float] = {"I1": 0.0, "I2": 0.1, "I3": 0.0, "I4": 0.05, "I5": 0.0, "I6": 0.0}
"""An indicator of attack failure fires for a sample where its value is above this. Source: Pintor et al. 2022, 3 and
their code; reference sheet C5."""

_OURS = "robcheck's own: fails closed"
_RANDOMISED = "AutoAttack, flag for randomised models: 1e-4 between normalised outputs"

LIMITS: dict[str, Limit] = {
    # What the run did.
    "INCOMPLETE": Limit("severe", 0, _OURS),
    "INTERRUPTED": Limit("severe", 0, _OURS),
    "NO_ATTACK": Limit("severe", 0, _OURS),
    "NO_GRADIENT_ATTACK": Limit("severe", 0, "Carlini et al. 2019, 4 and 5.7"),
    "NOT_EVALUATED": Limit("severe", 0, _OURS),
    "ATTACK_CRASHED": Limit("severe", 0, _OURS),
    "ATTACK_SKIPPED": Limit("severe", 0, _OURS),
    "BUDGET_EXHAUSTED": Limit("severe", 0, _OURS),
    "INVALID_CANDIDATES": Limit("severe", 0, _OURS),
    "ZERO_RADIUS": Limit("severe", 0, _OURS),
    "STATE_CHANGED": Limit("severe", DIFFERENCE, _RANDOMISED),
    "WAIVER_EXPIRED": Limit("warning", 0, _OURS),
    "CONTROLS_OFF": Limit("severe", 0, _OURS),
    "CONTROL_FAILED": Limit("severe", 0, _OURS),
    "THREAT_MODEL": Limit("severe", 0.5, "reference sheet C2.1; half of the box makes every image grey"),
    # The contract.
    "NAN_OUTPUT": Limit("severe", 0, _OURS),
    "INFINITE_OUTPUT": Limit("warning", 0, "one infinite score may be meant: a class that is switched off"),
    "OUTPUT_KIND": Limit("info", 0, "AutoAttack, flag for softmax outputs: here the logits behind them are attacked"),
    "SCORES_ARE_NO_LOGITS": Limit("warning", 0, "AutoAttack, flag for softmax outputs"),
    "LABELS_ONLY": Limit("info", 0, "reference sheet A3: score attacks need scores"),
    "ACCURACY_TOO_LOW": Limit("severe", 0.005, "reference sheet C2.2: within half a point of the claim"),
    "CLEAN_ACCURACY": Limit("severe", 0, "above what wrong pixels or labels leave; see CHANCE_TIMES. Ours"),
    "NONDETERMINISTIC": Limit("warning", DIFFERENCE, _RANDOMISED),
    "BATCH_DEPENDENT": Limit("severe", DIFFERENCE, _RANDOMISED),
    "TWIN_PARITY": Limit("severe", 0, _OURS),
    "NO_GRADIENT": Limit("severe", 0, "Athalye et al. 2018, 3.1"),
    "GRADIENT_FAILS": Limit("severe", 0, "Pintor et al. 2022, indicator 1"),
    "ZERO_GRADIENT": Limit("severe", 0.1, "AutoAttack, flag for zero gradients, there for any sample", 0.0),
    "WRONG_GRADIENT": Limit("severe", 0.01, "relative error of a directional derivative; ours"),
    "NOT_ASCENDING": Limit("severe", ASCENDING, "share of samples on which a gradient beats random steps; ours"),
    # What the controls found.
    "BLACKBOX_BEATS_WHITEBOX": Limit("severe", LEAST_SHARE, "Carlini et al. 2019, 5.7; AutoAttack flags .002", 0.0),
    "UNBOUNDED_FAILS": Limit("severe", 0.05, "Carlini et al. 2019, 5.5: an unbounded attack has to reach 0 %"),
    "LOW_POWER": Limit("severe", 0.9, "Zimmermann et al. 2022, 5: a test that fails is void; the limits are measured"),
    "LOW_POWER_MIDDLE": Limit("severe", 0.3, "by measurement: honest targets on coarse steps come to a quarter", 0.6),
    "LOW_POWER_HARD": Limit("warning", 0.3, "by measurement: ten steps find three quarters, fewer on coarse outputs"),
    "I1_UNAVAILABLE_GRADIENTS": Limit("severe", 0.1, "Pintor et al. 2022, 3: any; severe as for ZERO_GRADIENT", 0.0),
    "I2_UNSTABLE_PREDICTIONS": Limit("severe", 0.5, "Pintor et al. 2022, 3; the shares are ours", 0.1),
    "I3_SILENT_SUCCESS": Limit("severe", 0, "Pintor et al. 2022, 3: any"),
    # Of an honest network 14 of 32 still rose after 20 steps, where eight times the steps broke nothing more.
    "I4_INCOMPLETE_OPTIMISATION": Limit("severe", 0.9, "Pintor et al. 2022, 3; the shares are ours", 0.1),
    "I5_TRANSFER_FAILURE": Limit("severe", 0.1, "Pintor et al. 2022, 3: any; severe is ours", 0.0),
    "I6_UNCONSTRAINED_FAILURE": Limit("severe", 0.05, "Pintor et al. 2022, 3: any; severe as UNBOUNDED_FAILS", 0.0),
    "ATTACK_UNVALIDATED": Limit("severe", 0.9, "reference sheet C2.11; nine of ten, because luck is part of an attack"),
    "ATTACK_UNVALIDATED_SOME": Limit("warning", 0.9, "the same of each entry: one that is sound is enough; ours"),
    "ATTACK_UNVALIDATED_BALL": Limit("severe", 0, _OURS),
    "EPS_NONMONOTONE": Limit("severe", LEAST_SHARE, "Carlini et al. 2019, 5.4; McNemar, reference sheet C2.5"),
    "RANDOM_FINDS_AE": Limit("severe", 0, "Carlini et al. 2019, 5.5; reference sheet C2.6: no success"),
    "INVALID_AE": Limit("warning", 0.99, "reference sheet C2.16; no more than a warning, as it never flatters: ours"),
    "PIXEL_GRID": Limit("info", 0, _OURS),
    "POOR_FIT": Limit("severe", 0, "One Man's Trash is Another Man's Treasure, 4"),
    "SHATTERED": Limit("warning", STABLE, "Athalye et al. 2018, 3.1: signs that agree over step sizes"),
    "IDLE_RULE": Limit("info", 0, _OURS),
    # What an attack more brings on samples that the plan left standing.
    "ONE_STEP_BEATS_ITER": Limit("severe", LEAST_SHARE, "Athalye et al. 2018, 3.1; reference sheet C2.3"),
    "NOT_CONVERGED": Limit("severe", 0.02, "reference sheet C2.4; a warning there, severe is ours", SETTLED_SHARE),
    "ADAPTIVE_WEAKER": Limit("severe", 0.02, "reference sheet C2.8; severe is ours", LEAST_SHARE),
    "EOT_BROKEN": Limit("severe", 0.0, "reference sheet C2.9: a warning; severe is what is significant", 0.9),
    "ATTACK_BROKEN": Limit("severe", 0.95, "reference sheet C2.10 and Carlini et al. 2019, 5.5"),
    "SIBLING_RESISTS": Limit("info", 0.99, "reference sheet C2.10"),
    "TARGETED_STRONGER": Limit("warning", LEAST_SHARE, "reference sheet C2.12"),
    "LOSS_SENSITIVE": Limit("severe", 0.05, "reference sheet C2.13", 0.02),
    "HPARAM_SENSITIVE": Limit("severe", 0.05, "reference sheet C2.14", 0.01),
    "SAME_ATTACK": Limit("severe", 0, "Carlini et al. 2019, 4; reference sheet C2.15"),
    "OPTIMISES": Limit("severe", 0, "AutoAttack, flag for dynamic defenses: only an upper bound"),
    "BROADER": Limit("info", 0, "reference sheet C2.18: a report, for general claims only"),
    # What is proven.
    "UNSOUND": Limit("severe", 0, "reference sheet C2.17: no attack beats a proof"),
    # Targets that may refuse to answer.
    "CLEAN_REJECTION": Limit("severe", 0.999, "reference sheet C7; a warning from a fifth on is ours", 0.2),
    "CONSTANT_SCORE": Limit("warning", 0, _OURS),
    "OPERATING_POINTS": Limit("info", 0, "reference sheet C7"),
    "OPERATING_POINT_UNFINISHED": Limit("warning", 0, _OURS),
    "HELD_OUT_SMALL": Limit("warning", 0, "order statistics"),
}
"""Everything that may be found, once. A waiver names one of these codes."""

IN_PASSING = ("ACCURACY", "ASCENT", "BATCH_INDEPENDENCE", "DETERMINISM", "FINITE_OUTPUT", "GRADIENT", "PARITY")
"""Under which the contract says that nothing is wrong, or that it could not look; never findings."""


CLIMBS: dict[str, Limit] = {
    "NOT_CONVERGED": Limit("severe", 0.05, "reference sheet C2.4; severe is ours", SETTLED_CLIMB),
    "LOSS_SENSITIVE": Limit("severe", 0.25, _OURS, 0.05),
    "HPARAM_SENSITIVE": Limit("severe", 0.25, _OURS, 0.05),
}
"""How much higher another attack may climb on standing samples, as a share of what the plan climbed, by the finding.

Measured on an adversarially trained network: at most 0.02 after sound plans of 10 steps or more, at least 0.07 (steps)
and 0.10 (settings) after one step, 1.3 and more after steps of a hundredth of the radius.
"""


def limit(code: str) -> Limit:
    """The limit of a finding.

    Raises:
        KeyError: nothing is known of that code.
    """
    return LIMITS[code]


def milder_on_few(severity: Severity | None, samples: int, of: int) -> Severity | None:
    """The severity of what was seen on some of the samples; on so few that they say nothing, a warning at most."""
    few = samples < LEAST_SAMPLES and samples <= FEW_SHARE * of
    return "warning" if severity == "severe" and few else severity
