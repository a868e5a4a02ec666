"""How the samples ended, as parts of a bar."""

from collections import Counter
from dataclasses import dataclass

from ..harness.results import Outcome, Result
from .bounds import proven_samples
from .caveat import taken

_OUTCOMES: tuple[tuple[Outcome, str], ...] = (
    ("survived", "withstood every attack"),
    ("broken", "broken by an attack"),
    ("clean_error", "wrong before any attack"),
    ("not_evaluated", "not evaluated"),
)
_RANDOM_OUTCOMES: tuple[tuple[Outcome, str], ...] = (
    ("survived", "right on at least half of the draws under every attack"),
    ("broken", "brought below half by an attack"),
    ("clean_error", "below half before any attack"),
    ("not_evaluated", "not evaluated"),
)


@dataclass(frozen=True)
class Share:
    """How many samples ended one way, and what part of all of them."""

    outcome: str
    words: str
    samples: int
    part: float


def shares(result: Result) -> list[Share]:
    """Every outcome that occurs; what is proven robust stands apart from what merely withstood."""
    counted: Counter[str] = Counter(sample.outcome for sample in result.samples)
    every = max(1, len(result.samples))
    words: dict[str, str] = dict(_RANDOM_OUTCOMES if result.stochastic else _OUTCOMES)
    if proven := proven_samples(result):
        counted["survived"] -= proven
        counted["proven"] = proven
        words = {"proven": "proven robust", **words, "survived": "withstood every attack, not proven"}
    untaken = 0 if result.sequential is None else max(0, result.sequential.of - taken(result))
    if untaken := min(untaken, counted["not_evaluated"]):
        counted["not_evaluated"] -= untaken
        counted["untaken"] = untaken
        words["untaken"] = "not taken, as the gate was decided before"
    return [Share(key, text, counted[key], counted[key] / every) for key, text in words.items() if counted[key] > 0]
