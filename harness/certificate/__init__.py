"""What can be proven of a model: interval bounds of its logits over a box of inputs."""

from .bounds import bounded, margins
from .interval import Interval

__all__ = ["Interval", "bounded", "margins"]
