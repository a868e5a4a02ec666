"""Sizes that a well-meant classifier does not have."""

import math
from pathlib import Path

from onnx import ModelProto, NodeProto, TensorProto, numpy_helper, shape_inference

from ....harness.errors import ModelError
from ..translator.types import storage_bytes, type_name
from .walk import all_nodes

_MOST_CALLS = 1_000_000
_LARGEST_INPUT = 1 << 28
_LARGEST_SAMPLE = 1 << 25
_LARGEST_MADE = 1 << 27
_LARGE_FILE = 64 << 20
_LARGEST_TOTAL = 1 << 29
"""Elements of all tensors between operators for one sample."""
_CONTROL = {"Loop", "Scan", "If", "SequenceMap"}
_MAKERS = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1, "Range": 1, "OneHot": 1, "Resize": 3, "Pad": 1, "Reshape": 1}
_TYPED = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")


def check_functions(path: Path, model: ModelProto) -> None:
    """Refuse functions that call themselves or multiply without end when expanded.

    Raises: ModelError.
    """
    bodies = {(function.domain, function.name): function.node for function in model.functions}
    cost: dict[tuple[str, str], int] = {}
    for _ in range(len(bodies) + 1):
        for key, nodes in bodies.items():
            calls = [(node.domain, node.op_type) for node in nodes]
            if key not in cost and all(call in cost for call in calls if call in bodies):
                cost[key] = min(sum(cost.get(call, 1) for call in calls), _MOST_CALLS + 1)
        if len(cost) == len(bodies):
            break
    total = sum(cost.get((node.domain, node.op_type), 1) for node in model.graph.node)
    if len(cost) < len(bodies):
        raise ModelError(f"{path} has a function that calls itself; export the model without local functions")
    if max(total, *cost.values(), 0) > _MOST_CALLS:
        raise ModelError(
            f"{path} has functions that expand to more than {_MOST_CALLS} operators; export it without local functions"
        )


def check_input_size(path: Path, model: ModelProto) -> None:
    """Refuse an input that would not fit into memory.

    Raises: ModelError.
    """
    for value in model.graph.input:
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim if d.HasField("dim_value")]
        sample = [d.dim_value for d in value.type.tensor_type.shape.dim[1:] if d.HasField("dim_value")]
        large = math.prod(dims) > _LARGEST_INPUT or math.prod(sample) > _LARGEST_SAMPLE
        if large or any(size < 0 for size in dims):
            raise ModelError(f"{path} asks for an input {value.name!r} of shape {dims}; export it with a usable shape")


def _stored(tensor: TensorProto) -> tuple[int, int] | None:
    """(expected, found) number of bytes or values, None where nothing is known about the type."""
    elements = math.prod(tensor.dims)
    if tensor.HasField("raw_data"):
        size = storage_bytes(tensor.data_type, elements)
        return None if size is None else (size, len(tensor.raw_data))
    counts = [len(getattr(tensor, name)) for name in _TYPED]
    found = max(counts)
    if tensor.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        return 2 * elements, found
    packed = storage_bytes(tensor.data_type, elements)
    itemsize = storage_bytes(tensor.data_type, 8)
    if packed is not None and itemsize is not None and itemsize < 8:
        return packed, found
    return elements, found


def check_tensors(path: Path, tensors: list[TensorProto]) -> None:
    """Every stored tensor holds exactly the data that its shape announces.

    Raises: ModelError.
    """
    for tensor in tensors:
        name = tensor.name or "(constant)"
        if any(size < 0 for size in tensor.dims):
            raise ModelError(f"{path} has a tensor {name!r} with a negative size; export the model again")
        if tensor.data_type not in TensorProto.DataType.values() or tensor.data_type == TensorProto.UNDEFINED:
            raise ModelError(
                f"{path} has a tensor {name!r} of the unknown {type_name(tensor.data_type)}; export it again"
            )
        if tensor.data_location == TensorProto.EXTERNAL:
            continue
        sizes = _stored(tensor)
        if sizes is not None and sizes[0] != sizes[1]:
            raise ModelError(
                f"{path} has a tensor {name!r} that should hold {sizes[0]} values or bytes and holds {sizes[1]}; "
                "copy or export the model again"
            )


def _suspicious(node: NodeProto, known: dict[str, TensorProto], made: set[str]) -> bool:
    place = _MAKERS.get(node.op_type)
    if place is None or len(node.input) <= place or not node.input[place]:
        return False
    name = node.input[place]
    if name not in known:
        return name in made and node.op_type not in ("Reshape", "Pad")
    tensor = known[name]
    if tensor.data_location == TensorProto.EXTERNAL or math.prod(tensor.dims) > 64:
        return True
    values = [abs(float(value)) for value in numpy_helper.to_array(tensor).reshape(-1)]
    return math.prod(value for value in values if value) > _LARGEST_MADE


def _elements(model: ModelProto) -> int:
    """Elements of all tensors whose shapes follow from the file's own; open dimensions count as one."""
    try:
        inferred = shape_inference.infer_shapes(model, data_prop=True)
    except Exception:  # a shape that makes no sense: whoever runs the file finds out
        return _LARGEST_TOTAL + 1
    shapes = (value.type.tensor_type.shape.dim for value in inferred.graph.value_info)
    return sum(math.prod(max(dim.dim_value, 1) for dim in dims) for dims in shapes)


def needs_probe(model: ModelProto, size: int) -> bool:
    """Whether the model could hang or fill the memory when it is opened or run for the first time."""
    if size > _LARGE_FILE or model.functions:
        return True
    nodes = list(all_nodes(model))
    known = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in nodes:
        for entry in node.attribute:
            if node.op_type == "Constant" and entry.name == "value":
                known[node.output[0]] = entry.t
    if _elements(model) > _LARGEST_TOTAL:
        return True
    made = {name for node in nodes for name in node.output if node.op_type != "Constant"}
    return any(node.op_type in _CONTROL or _suspicious(node, known, made) for node in nodes)
