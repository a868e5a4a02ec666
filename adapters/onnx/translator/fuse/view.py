"""A list of nodes that rules may rewrite: who makes a tensor, who reads it."""

from collections.abc import Sequence

from torch import Tensor

from ..interpreter import Row
from ..node import Node

Entry = tuple[Node, Row]


class View:
    """Nodes by place; a place is emptied when its node has been merged into a later one."""

    def __init__(self, nodes: Sequence[Entry], constants: dict[str, Tensor], outputs: Sequence[str]) -> None:
        self.entries: list[Entry | None] = list(nodes)
        self.constants = constants
        self._maker = {name: place for place, (node, _) in enumerate(nodes) for name in node.outputs if name}
        self._readers: dict[str, list[int]] = {name: [-1] for name in outputs}
        for place, (node, _) in enumerate(nodes):
            for name in node.inputs:
                self._readers.setdefault(name, []).append(place)

    @property
    def nodes(self) -> list[Entry]:
        """What is left, in order."""
        return [entry for entry in self.entries if entry is not None]

    def places(self, op: str) -> list[int]:
        """Where an operator of the standard domain stands."""
        found = ((place, entry[0]) for place, entry in enumerate(self.entries) if entry is not None)
        return [place for place, node in found if node.op == op and not node.domain]

    def node(self, place: int) -> Node:
        """The node at a place that is not empty."""
        entry = self.entries[place]
        assert entry is not None
        return entry[0]

    def source(self, name: str, *ops: str) -> int | None:
        """The place that makes a tensor, if its operator is one of these and nobody else reads the tensor."""
        place = self._maker.get(name)
        entry = None if place is None else self.entries[place]
        alone = len(self._readers.get(name, [])) == 1
        return place if entry is not None and alone and entry[0].op in ops and not entry[0].domain else None

    def reader(self, name: str, *ops: str) -> int | None:
        """The only place that reads a tensor, if its operator is one of these."""
        readers = self._readers.get(name, [])
        entry = self.entries[readers[0]] if len(readers) == 1 and readers[0] >= 0 else None
        return readers[0] if entry is not None and entry[0].op in ops and not entry[0].domain else None

    def scalar(self, name: str) -> float | None:
        """The value of a constant with one element."""
        value = self.constants.get(name)
        return float(value) if value is not None and value.numel() == 1 and value.is_floating_point() else None

    def merge(self, places: Sequence[int], node: Node, row: Row) -> None:
        """Put one node in place of several: where the last of them stood, the others' places stay empty."""
        for place in places:
            self.entries[place] = None
        last = max(places)
        self.entries[last] = (node, row)
        for name in node.inputs:
            readers = [reader for reader in self._readers.get(name, []) if reader not in places]
            self._readers[name] = [*readers, last]
        for name in node.outputs:
            self._maker[name] = last
