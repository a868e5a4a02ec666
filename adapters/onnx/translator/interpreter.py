"""A translated graph as a torch module: one prebound call after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .node import Node, UntranslatableError
from .operators.control import Control, Running
from .operators.obstacle import Drawing, draws
from .operators.values import Operator
from .pair import Pair, Value, exact
from .paired import outputs_of, run_paired

HOST_LIMIT = 1024
"""Integer constants up to this many elements stay on the CPU: they are shapes, axes and indices."""
_SHAPE_ONLY = {"Shape", "Size"}

Row = Operator | Control
"""What the table holds for an operator."""


@dataclass(frozen=True)
class Step:
    """One call: where its inputs lie, where its outputs go, what nobody reads afterwards."""

    node: Node
    row: Row
    call: Callable[..., Any]
    live: bool
    """Whether it sees values that depend on the input, and not only their shapes."""
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    dead: tuple[int, ...]


class Interpreter(nn.Module):
    """Named inputs -> named outputs of a graph; weights are buffers without a gradient."""

    def __init__(
        self,
        nodes: Sequence[tuple[Node, Row]],
        constants: dict[str, Tensor],
        inputs: Sequence[str],
        outputs: Sequence[str],
    ) -> None:
        super().__init__()
        # slot 0 stays None and stands for every absent input
        places = {"": 0} | {name: place for place, name in enumerate(inputs, start=1)}
        self._inputs = len(places) - 1
        self._device_slots: list[int] = []
        self._host: list[tuple[int, Tensor]] = []
        used = {name for node, _ in nodes for name in node.inputs} | set(outputs)
        for name, value in constants.items():
            if name not in used or name in places:
                continue
            slot = places.setdefault(name, len(places))
            if value.is_floating_point() or value.numel() > HOST_LIMIT:
                self.register_buffer(f"constant_{slot}", value, persistent=False)
                self._device_slots.append(slot)
            else:
                self._host.append((slot, value))
        self._rows, self._names = tuple(nodes), {place: name for name, place in places.items()}
        self._given, self._wanted = tuple(inputs), tuple(outputs)
        self._steps = _compile(nodes, places, inputs, outputs)
        self._outputs = [places[name] for name in outputs]
        self._size = len(places)
        bodies = [value for node, _ in nodes for value in node.attributes.values() if isinstance(value, nn.Module)]
        self.bodies = nn.ModuleList(bodies)

    @property
    def random(self) -> bool:
        """Whether it draws random numbers."""
        inner = (body.random for body in self.bodies if isinstance(body, Interpreter))
        return any(draws(row) for _, row in self._rows) or any(inner)

    @property
    def shared_draws(self) -> bool:
        """Whether a draw depends on the batch around a sample: one for all, or a Dropout."""
        inner = (body.shared_draws for body in self.bodies if isinstance(body, Interpreter))
        own = (not step.live or isinstance(step.row, Drawing) for step in self._steps if draws(step.row))
        return any(own) or any(inner)

    def doubled(self) -> "Interpreter":
        """The same graph in float64."""
        slots = zip(self._device_slots, self._buffers.values(), strict=True)
        constants = {self._names[slot]: _double(value) for slot, value in [*slots, *self._host]}
        nodes = [(_double_node(node), row) for node, row in self._rows]
        return Interpreter(nodes, constants, self._given, self._wanted)

    def forward(self, *inputs: Value, bpda: bool = False) -> Tensor:
        """The first output, on exact gradients or on the operators' surrogates.

        Raises: UntranslatableError.
        """
        return self.answers(*inputs, bpda=bpda)[0]

    def answers(self, *inputs: Value, bpda: bool) -> list[Tensor]:
        """Every output, likewise; one of whole numbers or truth values is a float where something stands in for it.

        Raises: UntranslatableError.
        """
        outputs = []
        for value in self.run(inputs, bpda=bpda):
            output = value.shadow if isinstance(value, Pair) else value
            if output is None:
                raise UntranslatableError("the graph made no output")
            outputs.append(output)
        return outputs

    def run(self, inputs: Sequence[Value], *, bpda: bool, running: Running | None = None) -> list[Value]:
        """Every output; `running` is the pass around it where this graph is a body.

        Raises: UntranslatableError.
        """
        if len(inputs) != self._inputs:
            raise UntranslatableError(f"a graph with {self._inputs} inputs is given {len(inputs)}")
        running = running or Running(bpda)
        slots: list[Value] = [None] * self._size
        for slot, value in zip(self._device_slots, self._buffers.values(), strict=True):
            slots[slot] = value
        for slot, constant in self._host:
            slots[slot] = constant
        slots[1 : self._inputs + 1] = inputs
        for step in self._steps:
            result = self._result(step, [slots[source] for source in step.sources], running)
            if len(result) < len(step.targets):
                raise UntranslatableError(f"output {len(result) + 1} of {step.node.key} is used")
            for target, made in zip(step.targets, result, strict=False):
                slots[target] = made
            slots[0] = None
            for slot in step.dead:
                slots[slot] = None
        return [slots[place] for place in self._outputs]

    @staticmethod
    def _result(step: Step, values: list[Value], running: Running) -> Sequence[Value]:
        if isinstance(step.row, Control):
            return step.row.forward(step.node, running, *values)
        if running.bpda and step.live:
            return run_paired(step.row, step.node, values)
        # what asks for a shape alone sees the true tensor
        return outputs_of(step.call(*([exact(value) for value in values] if running.bpda else values)))


def _double(value: Any) -> Any:
    """Floats and the graphs that hold them in float64, everything else as it is."""
    if isinstance(value, Interpreter):
        return value.doubled()
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _double_node(node: Node) -> Node:
    attributes = {key: _double(value) for key, value in node.attributes.items()}
    return replace(node, precision=torch.float64, attributes=attributes)


def _compile(
    nodes: Sequence[tuple[Node, Row]], places: dict[str, int], inputs: Sequence[str], outputs: Sequence[str]
) -> list[Step]:
    last = {name: index for index, (node, _) in enumerate(nodes) for name in node.inputs}
    fixed = set(places)
    live = set(inputs) - {""}
    steps = []
    for index, (node, row) in enumerate(nodes):
        unknown = [name for name in node.inputs if name not in places]
        if unknown:
            raise UntranslatableError(f"{node.key} reads {unknown[0]!r}, which nothing makes")
        sees = node.op not in _SHAPE_ONLY and not live.isdisjoint(node.inputs)
        if sees:
            live.update(name for name in node.outputs if name)
        sources = tuple(places[name] for name in node.inputs)
        targets = tuple(0 if not name else places.setdefault(name, len(places)) for name in node.outputs)
        dead = {places[name] for name in node.inputs if last[name] == index and name not in fixed}
        dead -= {places[name] for name in outputs if name in places}
        call = row.forward if isinstance(row, Control) else partial(row, node)
        steps.append(Step(node, row, call, sees, sources, targets, tuple(sorted(dead))))
    absent = [name for name in outputs if name not in places]
    if absent:
        raise UntranslatableError(f"nothing makes the output {absent[0]!r}")
    return steps


@torch.no_grad()
def evaluate(node: Node, operator: Operator, inputs: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """One node on known inputs."""
    return outputs_of(operator(node, *inputs))


__all__ = ["Interpreter", "Row", "evaluate"]
