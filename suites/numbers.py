"""Numbers as people write them in YAML and on the command line."""

import math


def parse_number(text: str | int | float) -> float:
    """`8/255`, `1e-3`, `0.3` or a number, as a finite float.

    Raises:
        ValueError: it is none of these; the text says why.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(f"{text!r} is not a number such as 8/255, 0.3 or 1e-3")
    try:
        over, slash, under = str(text).partition("/")
        value = float(over) / (float(under) if slash else 1.0)
    except ZeroDivisionError:
        raise ValueError(f"{text!r} divides by zero") from None
    except ValueError:
        raise ValueError(f"{text!r} is not a number such as 8/255, 0.3 or 1e-3") from None
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    return value
