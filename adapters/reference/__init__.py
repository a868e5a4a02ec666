"""Reference products: a small network behind each of the defenses, trained when it is asked for, and its sibling."""

from .products import REFERENCES, load_reference, reference, sibling
from .proven import certified

__all__ = ["REFERENCES", "certified", "load_reference", "reference", "sibling"]
