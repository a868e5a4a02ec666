"""Parameters that an entry of a suite leaves to the plan."""

import difflib
from typing import Any, get_args

from ..harness.attacks import ATTACKS
from ..harness.request import Automatic

AUTOMATIC: tuple[str, ...] = get_args(Automatic)


def split_automatic(attack: str, config: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The parameters that are given, and the names of those that are `auto`.

    Raises:
        ValueError: `auto` stands where the attack has no such parameter or the plan decides nothing.
    """
    spec = ATTACKS.get(attack)
    asked = tuple(key for key, value in config.items() if value == "auto")
    if spec is None or not asked:
        return config, ()
    able = [key for key in AUTOMATIC if key in spec.config.model_fields]
    for key in asked:
        if key not in able:
            words = [*_keys(attack), *able]
            nearest = difflib.get_close_matches(key, words, n=1, cutoff=0.0)[0]
            known = ", ".join(words)
            raise ValueError(f"{attack}: {key!r} cannot be auto, did you mean {nearest!r}?; auto may be {known}")
    return {key: value for key, value in config.items() if key not in asked}, asked


def _keys(attack: str) -> tuple[str, ...]:
    """What is no parameter of the attack and may be automatic too."""
    if attack == "transfer":
        return ()
    return ("gradient", "eot") if ATTACKS[attack].needs == "gradients" else ("eot",)
