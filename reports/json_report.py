"""The result as versioned JSON: numbers are numbers, and what was written reads back equal."""

import json
import math
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..harness.errors import DataError
from ..harness.results import SCHEMA_VERSION, Result


def render_json(result: Result) -> str:
    """The result as one JSON object, one line per record; JSON has no NaN, so NaN and infinities become strings."""
    fields = plain(result.model_dump())
    lines = [f" {json.dumps(key)}: {_lines(value)}" for key, value in fields.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_json(path: Path) -> Result:
    """The result that `render_json` wrote to `path`.

    Raises:
        DataError: not a file, not JSON, not a result, or written by another version of robcheck.
    """
    try:
        fields = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise DataError(f"cannot read {path}: {(error.strerror or 'unreadable').lower()}; check the path.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON; give the result.json that robcheck wrote.") from error
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if type(version) is not int:
        raise DataError(f"{path} is not a robcheck result; give the result.json that robcheck wrote.")
    if version != SCHEMA_VERSION:
        advice = "update robcheck" if version > SCHEMA_VERSION else "evaluate again"
        raise DataError(f"{path} has schema version {version}, this robcheck reads {SCHEMA_VERSION}; {advice}.")
    try:
        return Result.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"{path} is not a whole robcheck result, at {where}: {first['msg'].lower()}; evaluate again."
        ) from error


def plain(value: Any) -> Any:
    """The same value in what JSON knows: objects, lists, strings, finite numbers, true, false and null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _name(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    return str(value)


def _name(value: float) -> str:
    # The words that pydantic reads back as the same float.
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _lines(value: Any) -> str:
    if isinstance(value, dict) and value:
        return "{\n" + ",\n".join(f"  {json.dumps(key)}: {_line(item)}" for key, item in value.items()) + "\n }"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "[\n" + ",\n".join("  " + _line(item) for item in value) + "\n ]"
    return _line(value)


def _line(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
