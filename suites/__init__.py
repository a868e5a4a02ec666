"""Suites: YAML files that say what to run. The built-in ones lie here."""

import difflib
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..harness.attacks import ATTACKS
from ..harness.errors import SuiteError
from .loader import load_yaml
from .numbers import parse_number
from .schema import BudgetSpec, GateSpec, Suite, ThreatSpec

_HERE = Path(__file__).parent
_WORDS: dict[str, tuple[str, ...]] = {
    "": tuple(Suite.model_fields),
    "threat": tuple(ThreatSpec.model_fields),
    "budget": tuple(BudgetSpec.model_fields),
    "gate": tuple(GateSpec.model_fields),
}
_ENTRY_WORDS = ("name", "attack", "gradient", "eot", "samples", "closest", "at_least", "norms")


def builtin_suites() -> dict[str, Path]:
    """Name -> file of the suites that come with robcheck."""
    return {path.stem: path for path in sorted(_HERE.glob("*.yaml"))}


def load_suite(suite: str | Path | Suite) -> Suite:
    """A built-in suite by name, or one from a YAML file.

    Raises:
        SuiteError: unknown name, or a file that says something a suite cannot say; file, path and nearest word.
    """
    if isinstance(suite, Suite):
        return suite
    known = builtin_suites()
    if str(suite) in known:
        return _read(known[str(suite)])
    path = Path(suite)
    if path.suffix in (".yaml", ".yml") or _is_file(path):
        return _read(path)
    raise SuiteError(
        f"suite {str(suite)!r} is not known{_nearest(str(suite), known)}; "
        f"known are {', '.join(known)}, or give a YAML file"
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _read(path: Path) -> Suite:
    data = load_yaml(path)
    try:
        return Suite.model_validate(data)
    except ValidationError as error:
        # A typo often shows twice, as an unknown key and as a missing one; the typo is the better news.
        problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
        raise SuiteError(f"{path}: {' '.join(_sentence(problems[0], data).split())}") from None


def _sentence(problem: Any, data: dict[str, Any]) -> str:
    """One problem of a validation as path, what is wrong, and the nearest valid word."""
    place = list(problem["loc"])
    if len(place) > 2 and place[0] == "attacks" and place[2] == "config":
        # `config` and the attack's name are ours; the user wrote one flat map.
        del place[2:4]
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in place).lstrip(".")
    kind = problem["type"]
    if kind == "extra_forbidden":
        key = str(place[-1])
        words = _words(place[:-1], data)
        return f"{path}: unknown key{_nearest(key, words)}; valid here are {', '.join(words)}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        value = str(problem.get("ctx", {}).get("tag", ""))
        return f"{path}.attack: unknown attack {value!r}{_nearest(value, ATTACKS)}; known are {', '.join(ATTACKS)}"
    if kind == "literal_error":
        expected = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        value = str(problem["input"])
        return f"{path}: {value!r} is not possible{_nearest(value, expected)}; possible are {', '.join(expected)}"
    message = problem["msg"].removeprefix("Value error, ")
    return (
        f"{path or 'the suite'}: {message[0].lower() + message[1:]} (it says {problem['input']!r})"
        if kind != "missing"
        else (f"{path}: is missing")
    )


def _words(place: list[Any], data: dict[str, Any]) -> tuple[str, ...]:
    if place and place[0] == "attacks" and len(place) > 1:
        entry = data["attacks"][place[1]]
        attack = entry.get("attack") if isinstance(entry, dict) else None
        own = tuple(ATTACKS[attack].config.model_fields) if isinstance(attack, str) and attack in ATTACKS else ()
        return tuple(dict.fromkeys(_ENTRY_WORDS + own))
    return _WORDS.get(str(place[0]) if place else "", ())


def _nearest(word: str, words: Any) -> str:
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


__all__ = ["Suite", "builtin_suites", "load_suite", "parse_number"]
