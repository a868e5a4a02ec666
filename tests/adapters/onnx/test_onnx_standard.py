"""Uses of standard operators in which versions and runtimes differ: the twin against onnxruntime on random numbers."""

from itertools import product

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper

from robcheck.adapters.onnx.translator.translate import translate

GENERATOR = np.random.default_rng(11)


def normal(*shape):
    return GENERATOR.standard_normal(shape).astype(np.float32)


def model_of(op, inputs, attributes, opset, outputs):
    names = ["" if value is None else f"i{place}" for place, value in enumerate(inputs)]
    given = {name: np.asarray(value) for name, value in zip(names, inputs, strict=True) if name}
    made = [f"o{place}" for place in range(outputs)]
    declared = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in given.items()
    ]
    node = helper.make_node(op, names, made, **attributes)
    graph = helper.make_graph([node], "g", declared, [onnx.ValueInfoProto(name=name) for name in made])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8 if opset < 21 else 10
    return model, given, made


def equals_onnxruntime(op, inputs, opset, outputs=1, **attributes):
    model, given, made = model_of(op, inputs, attributes, opset, outputs)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(None, given)
    twin = translate(model, None, list(given), made).module
    found = twin.run([torch.from_numpy(value.copy()) for value in given.values()], bpda=False)
    for one, other in zip(found, wanted, strict=True):
        assert one.numpy().dtype == other.dtype
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-4, atol=1e-4)


def refusal(op, inputs, opset, outputs=1, **attributes):
    model, given, made = model_of(op, inputs, attributes, opset, outputs)
    found = translate(model, None, list(given), made)
    with pytest.raises(Exception, match=op):
        found.module.run([torch.from_numpy(value.copy()) for value in given.values()], bpda=False)


GRIDS = list(product(("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection"), (0, 1)))


@pytest.mark.parametrize(("mode", "padding", "align"), GRIDS)
def test_grid_sample_far_outside_of_the_input(mode, padding, align):
    grid = normal(2, 3, 6, 2) * 2.5
    equals_onnxruntime(
        "GridSample", [normal(2, 3, 5, 4), grid], 16, mode=mode, padding_mode=padding, align_corners=align
    )


@pytest.mark.parametrize(("mode", "exclude"), list(product(("linear", "cubic"), (0, 1))))
@pytest.mark.parametrize("scales", [(1, 1, 0.6, 0.7), (1, 1, 0.3, 1.6)])
def test_resize_with_antialias(mode, exclude, scales):
    inputs = [normal(1, 2, 10, 9), None, np.float32(scales)]
    equals_onnxruntime("Resize", inputs, 18, mode=mode, antialias=1, exclude_outside=exclude)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("sizes", [[1, 2, 5, 6], [1, 2, 1, 6]])
def test_resize_crops_beyond_the_input(mode, sizes):
    inputs = [normal(1, 2, 7, 8), np.float32([0, 0, -0.2, 0.1, 1, 1, 1.3, 0.9]), None, np.int64(sizes)]
    crop = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 7.5}
    equals_onnxruntime("Resize", inputs, 13, mode=mode, **crop)


@pytest.mark.parametrize("scales", [(1, 1, 2, 0.6), (1, 1, 0.4, 1.6)])
def test_nearest_resize_of_opset_10_rounds_towards_the_end_where_it_shrinks(scales):
    equals_onnxruntime("Resize", [normal(2, 3, 4, 5), np.float32(scales)], 10, mode="nearest")


@pytest.mark.parametrize("mode", ["edge", "reflect", "wrap", "constant"])
def test_pad_cuts_before_it_fills(mode):
    equals_onnxruntime("Pad", [normal(2, 3, 4, 5), np.int64([0, 0, -1, 2, 0, 0, 2, -2])], 19, mode=mode)


@pytest.mark.parametrize("more", [{"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"}, {"output_shape": [11, 18]}])
def test_conv_transpose_with_a_window_smaller_than_its_stride(more):
    equals_onnxruntime("ConvTranspose", [normal(1, 4, 5, 6), normal(4, 3, 3, 2)], 11, strides=[2, 3], **more)


@pytest.mark.parametrize(("order", "ceil", "pads"), list(product((0, 1), (0, 1), ([0] * 4, [1, 0, 1, 1]))))
def test_max_pool_tells_the_place_in_the_whole_input(order, ceil, pads):
    window = {"kernel_shape": [3, 2], "strides": [2, 3], "pads": pads, "dilations": [2, 1]}
    equals_onnxruntime("MaxPool", [normal(2, 2, 7, 8)], 12, 2, storage_order=order, ceil_mode=ceil, **window)


@pytest.mark.parametrize(("power", "ceil", "opset"), list(product((1, 2, 3), (0, 1), (18, 22))))
def test_lp_pool_counts_padding_as_zero(power, ceil, opset):
    window = {"kernel_shape": [3, 2], "strides": [2, 3], "pads": [1, 0, 1, 1]}
    equals_onnxruntime("LpPool", [normal(1, 2, 7, 8)], opset, p=power, ceil_mode=ceil, **window)


LARGE = np.uint64([0, 1, 5, 2**63, 2**63 + 7, 2**64 - 1, 2**40, 3])
OTHER = np.uint64([1, 2, 2**63, 3, 2**63 + 6, 2**64 - 1, 7, 2**64 - 3])


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Less", "GreaterOrEqual", "Equal"])
@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
def test_unsigned_numbers_beyond_the_signed_range(op, kind):
    equals_onnxruntime(op, [LARGE.astype(kind), np.maximum(OTHER.astype(kind), kind(1))], 18)


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_shifts_of_unsigned_numbers(direction):
    equals_onnxruntime("BitShift", [LARGE, np.uint64([0, 1, 2, 3, 63, 62, 5, 1])], 11, direction=direction)


@pytest.mark.parametrize("opset", [7, 10, 12])
def test_the_mask_of_dropout_changed_its_meaning(opset):
    equals_onnxruntime("Dropout", [normal(3, 4)], opset, 2)


def test_non_zero_of_a_scalar():
    equals_onnxruntime("NonZero", [np.float32(3)], 13)


@pytest.mark.parametrize(("mode", "ratio"), list(product(("avg", "max"), (0, 2))))
@pytest.mark.parametrize("opset", [10, 16])
def test_roi_align_at_the_border(mode, ratio, opset):
    boxes = np.float32([[0, 0, 5, 6], [2.2, 1.1, 9, 9], [-2, -3, 4, 20]])
    shape = {"output_height": 3, "output_width": 2, "spatial_scale": 0.5}
    inputs = [normal(2, 3, 9, 8), boxes, np.int64([0, 1, 1])]
    equals_onnxruntime("RoiAlign", inputs, opset, mode=mode, sampling_ratio=ratio, **shape)


@pytest.mark.parametrize(("group", "regions", "dilation"), list(product((1, 2), (1, 2), (1, 2))))
def test_deform_conv_with_far_offsets(group, regions, dilation):
    height, width = (7 + 2 - 2 * dilation - 1) + 1, (8 + 1 - dilation - 1) + 1
    offset, mask = normal(2, regions * 12, height, width) * 1.5, normal(2, regions * 6, height, width)
    inputs = [normal(2, 4, 7, 8), normal(6, 4 // group, 3, 2), offset, normal(6), mask]
    window = {"pads": [1, 0, 1, 1], "dilations": [dilation, dilation], "kernel_shape": [3, 2]}
    equals_onnxruntime("DeformConv", inputs, 19, group=group, offset_group=regions, **window)


HEADS = list(product(((4, 4), (4, 2), (3, 1)), (0, 1), (0.0, 2.0), (None, "bool", "float"), (False, True)))


@pytest.mark.parametrize(("heads", "causal", "cap", "mask", "past"), HEADS)
def test_attention(heads, causal, cap, mask, past):
    many, few = heads
    total = 9 if past else 6
    masks = {None: None, "bool": GENERATOR.random((4, total)) > 0.3, "float": normal(2, 1, 4, total)}
    cache = [normal(2, few, 3, 8), normal(2, few, 3, 5)] if past else []
    inputs = [normal(2, many, 4, 8), normal(2, few, 6, 8), normal(2, few, 6, 5), masks[mask], *cache]
    while inputs[-1] is None:
        inputs.pop()
    equals_onnxruntime("Attention", inputs, 23, 4 if past else 1, is_causal=causal, softcap=cap)


def test_attention_of_queries_that_see_nothing():
    closed = np.zeros((4, 6), dtype=bool)
    equals_onnxruntime("Attention", [normal(1, 2, 4, 8), normal(1, 2, 6, 8), normal(1, 2, 6, 8), closed], 23)


def test_attention_does_not_show_scores_that_onnxruntime_shows_differently():
    cache = [None, normal(1, 2, 3, 8), normal(1, 2, 3, 8)]
    inputs = [normal(1, 2, 4, 8), normal(1, 2, 6, 8), normal(1, 2, 6, 8), *cache]
    refusal("Attention", inputs, 23, 4, is_causal=1, qk_matmul_output_mode=2)


def test_a_blind_query_has_no_gradient_instead_of_nan():
    inputs = [normal(1, 1, 2, 4), normal(1, 1, 3, 4), normal(1, 1, 3, 4), np.bool_([[1, 1, 0], [0, 0, 0]])]
    model, given, made = model_of("Attention", inputs, {}, 23, 1)
    twin = translate(model, None, list(given), made).module
    values = [torch.from_numpy(value.copy()) for value in given.values()]
    values[0].requires_grad_()
    (gradient,) = torch.autograd.grad(twin.run(values, bpda=False)[0].sum(), values[0])
    assert torch.isfinite(gradient).all()
    assert gradient[0, 0, 0].abs().sum() > 0
    assert gradient[0, 0, 1].abs().sum() == 0
