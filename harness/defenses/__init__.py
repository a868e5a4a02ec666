"""Reference defenses: one file each, listed here; `name:key=value,key=value` makes one."""

import difflib
from typing import Any

from pydantic import ValidationError

from ..errors import UsageError
from ..pipeline import Stage
from .jpeg import Jpeg
from .resize_pad import ResizePad

DEFENSES: dict[str, type[Jpeg] | type[ResizePad]] = {"jpeg": Jpeg, "resize-pad": ResizePad}


def parse_defense(text: str) -> Stage:
    """The defense that `name:key=value,key=value` describes.

    Raises:
        UsageError: unknown name or key, or a value out of range.
    """
    name, _, rest = text.partition(":")
    if name not in DEFENSES:
        close = difflib.get_close_matches(name, DEFENSES, n=1)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise UsageError(f"defense {name!r} is not known{hint}; known are {', '.join(DEFENSES)}")
    values: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"defense {text!r}: {part!r} is no key=value pair")
        if key.strip() in values:
            raise UsageError(f"defense {text!r}: {key.strip()!r} occurs twice")
        values[key.strip()] = _number(value.strip(), text)
    try:
        return DEFENSES[name].model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        valid = ", ".join(k for k in DEFENSES[name].model_fields if k != "defense")
        message = problem["msg"][0].lower() + problem["msg"][1:]
        raise UsageError(
            f"defense {text!r}: {'.'.join(map(str, problem['loc']))}: {message}; keys are {valid}"
        ) from None


def _number(value: str, text: str) -> int | float:
    try:
        return int(value)
    except ValueError:
        pass
    try:
        over, slash, under = value.partition("/")
        return float(over) / (float(under) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"defense {text!r}: {value!r} is not a number") from None
