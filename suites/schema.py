"""What a suite may say. Strict: unknown keys, typos and values out of range are errors with path and nearest word."""

import difflib
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..harness.attacks import ATTACKS
from ..harness.diagnosis.limits import LIMITS
from ..harness.errors import UsageError
from ..harness.geometry import Norm
from ..harness.request import Request
from ..harness.results import Gate
from ..harness.rule import Rule
from ..harness.trust import ControlLevel, Waiver
from ..harness.waivers import VOID
from .automatic import split_automatic
from .combinations import refuse_senseless, with_numbers
from .numbers import parse_number

Number = Annotated[float, BeforeValidator(parse_number)]

REQUEST_KEYS = ("name", "gradient", "eot", "samples", "closest", "at_least", "rejecting", "norms")


def known_code(code: str) -> str:
    """The code of a finding as it stands.

    Raises:
        ValueError: no finding has it, or none that a waiver may undo.
    """
    if code in VOID:
        raise ValueError(f"a waiver cannot undo {code}: {VOID[code]}")
    if code in LIMITS:
        return code
    close = difflib.get_close_matches(code.upper(), LIMITS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(LIMITS))}"
    raise ValueError(f"no finding has the code {code!r}{hint}")


def day_text(value: Any) -> Any:
    """YAML reads 2027-03-31 as a day; here it is the text that it was."""
    return value.isoformat() if type(value) is date else value


def known_day(text: str) -> str:
    """The day as it stands.

    Raises:
        ValueError: it is none.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise ValueError("it is no day; write one as 2027-03-31")
    return text


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ThreatSpec(_Model):
    """Norm and radius in [0, 1] pixel units."""

    norm: Norm = "linf"
    epsilon: Annotated[Number, Field(gt=0)] = 8 / 255
    pixel_grid: Literal["none", "8bit"] = "none"
    """8bit: only points on the 8-bit pixel grid count."""


class BudgetSpec(_Model):
    """Limits on the cost."""

    passes_per_sample: Annotated[int, Field(gt=0)] | None = None
    """Forward and backward passes of all attacks together, times the number of samples."""


class GateSpec(_Model):
    """What decides PASS or FAIL."""

    min_robust_accuracy: Annotated[Number, Field(ge=0, le=1)] | None = None
    on: Literal["interval", "point"] = "interval"
    confidence: Annotated[Number, Field(gt=0.5, lt=1)] = 0.95
    max_regression: Annotated[Number, Field(ge=0, le=1)] | None = None
    """Largest loss of robust accuracy against a baseline, which the run is told of."""
    stop_when_decided: bool = False
    """Take the samples in portions and stop as soon as the gate is decided."""

    def gate(self) -> Gate:
        """The same as a record."""
        return Gate(
            min_robust_accuracy=self.min_robust_accuracy,
            on=self.on,
            confidence=self.confidence,
            max_regression=self.max_regression,
        )


class WaiverSpec(_Model):
    """A finding that may stand without standing against a PASS, until a day."""

    code: Annotated[str, AfterValidator(known_code)]
    reason: str = Field(min_length=10)
    expires: Annotated[str, BeforeValidator(day_text), AfterValidator(known_day)]
    """The last day on which it counts: 2027-03-31."""

    def waiver(self) -> Waiver:
        """The same as a record."""
        return Waiver(code=self.code, reason=self.reason, expires=self.expires)


def waived_once(waivers: list[WaiverSpec]) -> list[WaiverSpec]:
    """The waivers as they stand.

    Raises:
        ValueError: two of them name one finding.
    """
    codes = [waiver.code for waiver in waivers]
    again = next((code for code in codes if codes.count(code) > 1), None)
    if again is not None:
        raise ValueError(f"{again} is waived twice; give it one reason and one day")
    return waivers


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
        config, request["auto"] = split_automatic(attack, config)
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
            base = "-".join(str(entry[k]) for k in ("attack", "loss", "source") if entry.get(k, "auto") != "auto")
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
    controls: ControlLevel = "standard"
    """Which control experiments run after the attacks: none (which no gate can be passed with), standard or full."""
    trained_with: str = ""
    """The attack that the model was trained against, where that is known."""
    waivers: Annotated[list[WaiverSpec], AfterValidator(waived_once)] = []

    @model_validator(mode="after")
    def _names_differ(self) -> "Suite":
        names = [request.name for request in self.attacks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"attack name {twice[0]!r} occurs twice")
        return self
