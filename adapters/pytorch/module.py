"""An nn.Module as a Classifier: what is known before it runs, and where it lies."""

from contextlib import nullcontext
from typing import Literal

from torch import nn

from ...harness.model_info import ModelInfo, Rejection, Twin
from ..device import lies_on, resolve_device
from ..preprocessing import Layout, Preprocessing
from ..rejection import declared
from .borrowed import as_deployed, copied, settle, tell_training
from .classifier import TorchClassifier
from .gradient.parts import suspicious_parts
from .rejecting import RejectingTorchClassifier
from .weights import state_sha256

Trust = Literal["data-only", "executes model code"]


def wrap_module(
    module: nn.Module,
    *,
    name: str | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    input_range: tuple[float, float] | None = None,
    layout: Layout | None = None,
    device: str = "cpu",
    classes: int | None = None,
    sha256: str | None = None,
    trust: Trust = "executes model code",
    notes: tuple[str, ...] = (),
    copy: bool = True,
    reject_output: str | int | None = None,
    reject_above: float | None = None,
) -> TorchClassifier:
    """The module behind the Classifier contract; the caller's own module stays as it is.

    It is used where it lies, in evaluation mode for each call; only one that lies on another device is copied. The
    first batch is asked twice, once to watch what happens inside.

    Args:
        module: (N, ...) -> (N, K), in the units that `input_range` or `mean` and `std` name.
        mean: per channel, in [0, 1] pixel units, with `std`.
        bounds: the range of the caller's pixels.
        input_range: the range that the module expects; None is `bounds`.
        layout: "nhwc" if the module wants (N, H, W, C); callers always give (N, C, H, W).
        copy: False for a module that nobody else uses, which may be moved and switched for good.
        reject_output: key, field or place of the output that says when the module refuses to answer; it is then a
            `RejectingClassifier`.
        reject_above: what that output has to exceed.

    Raises:
        UsageError: the preprocessing or the rejection contradicts itself.
        DeviceError: the device is not there.
    """
    preprocessing = Preprocessing(bounds=bounds, input_range=input_range, mean=mean, std=std, layout=layout)
    device, wanted = resolve_device(device), declared(reject_output, reject_above)
    digest = sha256 or state_sha256(module)
    found = list(notes)
    borrowed = copy and lies_on(module, device)
    if borrowed:
        tell_training(module, found)
    else:
        module = copied(module, found) if copy else module
        settle(module, found, tell=copy)
    with as_deployed(module) if borrowed else nullcontext():
        obstacles = suspicious_parts(module)
    info = ModelInfo(
        name=name or type(module).__name__,
        format="torch",
        bounds=preprocessing.bounds,
        mean=preprocessing.mean,
        std=preprocessing.std,
        classes=classes,
        device=device,
        sha256=digest,
        obstacles=obstacles,
        twin=Twin(available=True, reason="the module itself"),
        trust=trust,
        notes=tuple(found),
        rejection=None if wanted is None else Rejection(output=str(wanted.output), above=wanted.above),
    )
    if not borrowed:
        module = module.to(device)
    kind = TorchClassifier if wanted is None else RejectingTorchClassifier
    return kind(module, preprocessing=preprocessing, info=info, borrowed=borrowed, wanted=wanted)
