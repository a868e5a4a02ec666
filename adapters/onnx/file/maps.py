"""The answer of a ZipMap, a list of dictionaries, as a table."""

from typing import Any

import numpy as np


def table(value: Any) -> Any:
    """One row per dictionary, columns in the order of its keys, which onnxruntime sorts; anything else as it is."""
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        return value
    if any(row.keys() != value[0].keys() for row in value):
        return value
    return np.array([list(row.values()) for row in value])
