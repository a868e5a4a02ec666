"""What an entry of a suite may not combine, whatever the target is, and why."""

from typing import Any

from ..harness.attacks import ATTACKS
from ..harness.decision import MATCHING_LOSSES
from ..harness.gradients import ESTIMATORS
from .numbers import parse_number

_NO_MOMENTUM = {
    "fgsm": "one step has nothing to accumulate",
    "fab": "it projects on the boundary that a single gradient draws",
    "latent": "it follows a range whose directions turn from step to step",
}


def refuse_senseless(attack: str, entry: dict[str, Any]) -> None:
    """Refuse keys that say nothing for this attack.

    Raises:
        ValueError: one sentence with the reason.
    """
    spec = ATTACKS.get(attack)
    if spec is None:
        return
    if "gradient" in entry and spec.needs != "gradients":
        raise ValueError(f"{attack} asks for {spec.needs}, never for a gradient; leave out `gradient`")
    if "gradient" in entry and attack == "transfer":
        raise ValueError("transfer takes the gradient of its `source`; leave out `gradient`")
    if "eot" in entry and attack == "transfer":
        raise ValueError("transfer crafts its points on a source that draws nothing; leave out `eot`")
    if "momentum" in entry and attack in _NO_MOMENTUM:
        raise ValueError(f"{attack} takes no momentum: {_NO_MOMENTUM[attack]}; leave out `momentum`")
    if "momentum" in entry and spec.needs != "gradients":
        raise ValueError(f"{attack} has no gradient to accumulate; leave out `momentum`")
    if entry.get("loss") in MATCHING_LOSSES and "targets" in entry:
        raise ValueError("what matches aims at samples, one per restart, not at classes; give `restarts`, no `targets`")
    if "loss" in entry and "loss" not in spec.config.model_fields:
        raise ValueError(f"{attack} has no loss to choose; leave out `loss`")


def with_numbers(value: Any) -> Any:
    """The numbers in `{kind: nes, size: 8/255}` as numbers; the schema refuses what makes no sense."""
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str) or value["kind"] not in ESTIMATORS:
        return value
    fields = ESTIMATORS[value["kind"]].model_fields
    floats = {key for key, field in fields.items() if field.annotation in (float, float | None)}
    return {key: _number(item) if key in floats else item for key, item in value.items()}


def _number(value: Any) -> Any:
    try:
        return parse_number(value)
    except ValueError:
        return value
