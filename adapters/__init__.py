"""Models and data from outside."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data import load_data, load_held_out
    from .load import load_model, load_product
    from .pytorch.module import wrap_module

_HOMES = {
    "load_data": ".data",
    "load_held_out": ".data",
    "load_model": ".load",
    "load_product": ".load",
    "wrap_module": ".pytorch.module",
}

__all__ = ["load_data", "load_held_out", "load_model", "load_product", "wrap_module"]


def __getattr__(name: str) -> Any:
    """Load the public names on first use."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
