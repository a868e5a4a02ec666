"""A translated graph as a torch module: one prebound call after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from .node import Node, UntranslatableError
from .operators.values import Operator

HOST_LIMIT = 1024
"""Integer constants up to this many elements stay on the CPU: they are shapes, axes and indices."""


@dataclass(frozen=True)
class Step:
    """One call: where its inputs lie, where its outputs go, what nobody reads afterwards."""

    node: Node
    call: Callable[..., Tensor | tuple[Tensor, ...]]
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    dead: tuple[int, ...]


class Interpreter(nn.Module):
    """(N, ...) in units of the file -> the wanted tensor; weights are buffers without a gradient."""

    def __init__(
        self,
        nodes: Sequence[tuple[Node, Operator]],
        constants: dict[str, Tensor],
        input_name: str,
        output_name: str,
    ) -> None:
        super().__init__()
        # slot 0 stays None and stands for every absent input
        places = {"": 0, input_name: 1}
        self._device_slots: list[int] = []
        self._host: list[tuple[int, Tensor]] = []
        used = {name for node, _ in nodes for name in node.inputs} | {output_name}
        for name, value in constants.items():
            if name not in used or name in places:
                continue
            slot = places.setdefault(name, len(places))
            if value.is_floating_point() or value.numel() > HOST_LIMIT:
                self.register_buffer(f"constant_{slot}", value, persistent=False)
                self._device_slots.append(slot)
            else:
                self._host.append((slot, value))
        self._steps = self._compile(nodes, places, output_name)
        self._output = places[output_name]
        self._size = len(places)

    @staticmethod
    def _compile(nodes: Sequence[tuple[Node, Operator]], places: dict[str, int], output_name: str) -> list[Step]:
        last = {name: index for index, (node, _) in enumerate(nodes) for name in node.inputs}
        fixed = set(places)
        steps = []
        for index, (node, operator) in enumerate(nodes):
            unknown = [name for name in node.inputs if name not in places]
            if unknown:
                raise UntranslatableError(f"{node.key} reads {unknown[0]!r}, which nothing makes")
            sources = tuple(places[name] for name in node.inputs)
            targets = tuple(0 if not name else places.setdefault(name, len(places)) for name in node.outputs)
            dead = {places[name] for name in node.inputs if last[name] == index and name not in fixed}
            dead -= {places.get(output_name, 0)}
            steps.append(Step(node, partial(operator, node), sources, targets, tuple(sorted(dead))))
        if output_name not in places:
            raise UntranslatableError(f"nothing makes the output {output_name!r}")
        return steps

    def forward(self, x: Tensor) -> Tensor:
        """Run every step.

        Raises: UntranslatableError.
        """
        slots: list[Tensor | None] = [None] * self._size
        for slot, value in zip(self._device_slots, self._buffers.values(), strict=True):
            slots[slot] = value
        for slot, value in self._host:
            slots[slot] = value
        slots[1] = x
        for step in self._steps:
            result = step.call(*[slots[source] for source in step.sources])
            if isinstance(result, Tensor):
                result = (result,)
            if len(result) < len(step.targets):
                raise UntranslatableError(f"output {len(result) + 1} of {step.node.key} is used")
            for target, value in zip(step.targets, result, strict=False):
                slots[target] = value
            slots[0] = None
            for slot in step.dead:
                slots[slot] = None
        output = slots[self._output]
        if output is None:
            raise UntranslatableError("the graph made no output")
        return output


@torch.no_grad()
def evaluate(node: Node, operator: Operator, inputs: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """One node on known inputs."""
    result = operator(node, *inputs)
    return (result,) if isinstance(result, Tensor) else result
