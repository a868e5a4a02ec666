"""Suites: YAML files that say what to run. The built-in ones lie here."""

import difflib
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..harness.attacks import ATTACKS
from ..harness.errors import SuiteError
from ..harness.gradients import ESTIMATORS
from .loader import load_yaml
from .numbers import parse_number
from .schema import REQUEST_KEYS, BudgetSpec, GateSpec, Suite, ThreatSpec, WaiverSpec

_HERE = Path(__file__).parent
_WORDS: dict[str, tuple[str, ...]] = {
    "": tuple(Suite.model_fields),
    "threat": tuple(ThreatSpec.model_fields),
    "budget": tuple(BudgetSpec.model_fields),
    "gate": tuple(GateSpec.model_fields),
    "waivers": tuple(WaiverSpec.model_fields),
}
_ENTRY_WORDS = ("attack", *REQUEST_KEYS)


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
        # A typo often shows twice, as an unknown key and as a missing one; the typo is the better news. Of a value that
        # may be a word or something else, the word is the lesser news unless a word was written.
        problems = sorted(error.errors(), key=lambda p: (p["type"] != "extra_forbidden", _is_other(p)))
        raise SuiteError(f"{path}: {' '.join(_sentence(problems[0], data).split())}") from None


def _is_other(problem: Any) -> bool:
    """Whether a problem says that a value is not the one word `auto`, which it never meant to be."""
    auto = problem.get("ctx", {}).get("expected") == "'auto'"
    return auto and not (isinstance(problem["input"], str) and "gradient" not in problem["loc"])


def _place(loc: tuple[Any, ...]) -> list[Any]:
    """Where the user wrote it: without what only the schema knows (`config`, the attack's name, tags of unions)."""
    place = list(loc)
    if len(place) > 2 and place[0] == "attacks" and place[2] == "config":
        del place[2:4]
    if "gradient" in place:
        after = place.index("gradient") + 1
        return place[:after] + [p for p in place[after:] if p not in ESTIMATORS and "[" not in str(p)]
    if "eot" in place:
        return place[: place.index("eot") + 1]
    return place


def _sentence(problem: Any, data: dict[str, Any]) -> str:
    """One problem of a validation as path, what is wrong, and the nearest valid word."""
    place, kind, given = _place(problem["loc"]), problem["type"], problem["input"]
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in place).lstrip(".")
    if kind == "extra_forbidden":
        words = _words(place[:-1], data)
        return f"{path}: unknown key{_nearest(str(place[-1]), words)}; valid here are {', '.join(words)}"
    if place[-1:] == ["gradient"]:
        value, known = str(given.get("kind") if isinstance(given, dict) else given), ("auto", *ESTIMATORS)
        return f"{path}: {value!r} is not known{_nearest(value, known)}; known are {', '.join(known)}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        value = str(problem.get("ctx", {}).get("tag", ""))
        return f"{path}.attack: unknown attack {value!r}{_nearest(value, ATTACKS)}; known are {', '.join(ATTACKS)}"
    if kind == "literal_error":
        expected = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        number = " or a whole number of at least 1" if place[-1:] == ["eot"] else ""
        value = str(given)
        return (
            f"{path}: {value!r} is not possible{_nearest(value, expected)}; possible are {', '.join(expected)}{number}"
        )
    if kind == "missing":
        return f"{path}: is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if kind == "value_error" and isinstance(given, list):
        return message if message.startswith("attacks[") else f"{path}: {message}"
    return f"{path or 'the suite'}: {message[0].lower() + message[1:]} (it says {given!r})"


def _words(place: list[Any], data: dict[str, Any]) -> tuple[str, ...]:
    if place and place[0] == "attacks" and len(place) > 1:
        entry = data["attacks"][place[1]]
        if "gradient" in place:
            return tuple(ESTIMATORS[entry["gradient"]["kind"]].model_fields)
        attack = entry.get("attack") if isinstance(entry, dict) else None
        own = tuple(ATTACKS[attack].config.model_fields) if isinstance(attack, str) and attack in ATTACKS else ()
        return tuple(dict.fromkeys(_ENTRY_WORDS + own))
    return _WORDS.get(str(place[0]) if place else "", ())


def _nearest(word: str, words: Any) -> str:
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


__all__ = ["Suite", "builtin_suites", "load_suite", "parse_number"]
