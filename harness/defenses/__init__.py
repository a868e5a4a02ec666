"""Reference defenses: one file each, listed here; `name:key=value` makes one."""

from .jpeg import Jpeg
from .resize_pad import ResizePad

DEFENSES: dict[str, type[Jpeg] | type[ResizePad]] = {"jpeg": Jpeg, "resize-pad": ResizePad}
