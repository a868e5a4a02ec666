"""robcheck: how often is a classifier still right when an adversary who knows everything attacks it?"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .adapters import load_data, load_model
    from .api import evaluate, inspect, plan
    from .harness.classifier import Classifier
    from .harness.errors import RobcheckError
    from .harness.results import Inspection, Result

_HOMES = {
    "Classifier": ".harness.classifier",
    "Inspection": ".harness.results",
    "Result": ".harness.results",
    "RobcheckError": ".harness.errors",
    "evaluate": ".api",
    "inspect": ".api",
    "load_data": ".adapters",
    "load_model": ".adapters",
    "plan": ".api",
}

__all__ = [
    "Classifier",
    "Inspection",
    "Result",
    "RobcheckError",
    "__version__",
    "evaluate",
    "inspect",
    "load_data",
    "load_model",
    "plan",
]


def __getattr__(name: str) -> Any:
    """Load the public names on first use, so that `import robcheck` stays light."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
