"""What a suite may say. Strict: unknown keys, typos and values out of range are errors with path and nearest word."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..harness.attacks import ATTACKS
from ..harness.errors import UsageError
from ..harness.geometry import Norm
from ..harness.request import Request
from ..harness.results import Gate
from ..harness.rule import Rule
from .combinations import refuse_senseless, with_numbers
from .numbers import parse_number

Number = Annotated[float, BeforeValidator(parse_number)]

REQUEST_KEYS = ("name", "gradient", "eot", "samples", "closest", "at_least", "rejecting", "norms")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ThreatSpec(_Model):
    """Norm and radius in [0, 1] pixel units."""

    norm: Norm = "linf"
    epsilon: Annotated[Number, Field(gt=0)] = 8 / 255


class BudgetSpec(_Model):
    """Limits on the cost."""

    passes_per_sample: Annotated[int, Field(gt=0)] | None = None
    """Forward and backward passes of all attacks together, times the number of samples."""


class GateSpec(_Model):
    """What decides PASS or FAIL."""

    min_robust_accuracy: Annotated[Number, Field(ge=0, le=1)] | None = None
    on: Literal["interval", "point"] = "interval"
    confidence: Annotated[Number, Field(gt=0.5, lt=1)] = 0.95

    def gate(self) -> Gate:
        """The same as a record."""
        return Gate(min_robust_accuracy=self.min_robust_accuracy, on=self.on, confidence=self.confidence)


def split_entry(entry: Any) -> Any:
    """A flat YAML entry as a Request: the attack's own parameters go into `config`, numbers may be fractions."""
    if not isinstance(entry, dict) or "config" in entry:
        return entry
    attack = entry.get("attack")
    fields = ATTACKS[attack].config.model_fields if isinstance(attack, str) and attack in ATTACKS else {}
    floats = {key for key, field in fields.items() if field.annotation in (float, float | None)}
    config = {k: _number(v) if k in floats else v for k, v in entry.items() if k not in REQUEST_KEYS}
    request = {k: _number(v) if k == "closest" else v for k, v in entry.items() if k in REQUEST_KEYS}
    if isinstance(attack, str):
        refuse_senseless(attack, entry)
    if "gradient" in request:
        request["gradient"] = with_numbers(request["gradient"])
    return {**request, "config": config}


def _number(value: Any) -> Any:
    """The number that a value means; what means none is left for the schema to refuse where it stands."""
    try:
        return parse_number(value)
    except ValueError:
        return value


def named(entries: Any) -> Any:
    """Give every entry without a name one that tells it apart."""
    if not isinstance(entries, list):
        return entries
    result: list[Any] = []
    for position, entry in enumerate(entries):
        if isinstance(entry, dict) and "name" not in entry and "attack" in entry:
            used = [e.get("name") for e in result if isinstance(e, dict)]
            base = "-".join(str(entry[k]) for k in ("attack", "loss", "source") if k in entry)
            name = base
            number = 2
            while name in used:
                name, number = f"{base}-{number}", number + 1
            entry = {"name": name, **entry}
        try:
            result.append(split_entry(entry))
        except ValueError as error:
            raise ValueError(f"attacks[{position}]: {error}") from None
    return result


def rule_text(value: Any) -> Any:
    """`{majority: 5}`, as YAML reads `majority: 5` on a line of its own, as the text that it was."""
    if isinstance(value, dict) and len(value) == 1:
        ((kind, draws),) = value.items()
        return f"{kind}: {draws}"
    return value


def known_rule(text: str) -> str:
    """The decision rule as robcheck writes it."""
    try:
        return str(Rule.parse(text))
    except UsageError as error:
        raise ValueError(str(error)) from None


class Suite(_Model):
    """Threat model, attacks in order, defenses, budget and gate."""

    name: str = Field(min_length=1)
    description: str = ""
    threat: ThreatSpec = ThreatSpec()
    attacks: Annotated[list[Request], BeforeValidator(named), Field(min_length=1)]
    defenses: list[str] = []
    decision_rule: Annotated[str, BeforeValidator(rule_text), AfterValidator(known_rule)] = "single"
    """How the product decides: single, majority:K or mean:K."""
    budget: BudgetSpec = BudgetSpec()
    gate: GateSpec = GateSpec()

    @model_validator(mode="after")
    def _names_differ(self) -> "Suite":
        names = [request.name for request in self.attacks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"attack name {twice[0]!r} occurs twice")
        return self
