"""Names of the devices that models run on."""

import torch
from torch import nn

from ..harness.errors import DeviceError


def resolve_device(name: str) -> str:
    """The device that a name stands for: "auto" is cuda where there is one, else cpu.

    Raises:
        DeviceError: the name is unknown, or the device is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    kind, _, index = name.partition(":")
    if kind != "cuda" or not (index.isdigit() or name == "cuda"):
        raise DeviceError(f"the device {name!r} is unknown: use cpu, cuda, cuda:0 or auto")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise DeviceError(f"the device {name!r} was asked for, but torch sees no CUDA device: use cpu or auto")
    if index and int(index) >= count:
        raise DeviceError(f"the device {name!r} was asked for, but the last one is cuda:{count - 1}: use that or auto")
    return name


def lies_on(module: nn.Module, device: str) -> bool:
    """Whether all weights and buffers of a module are on a device."""
    wanted = torch.device(device)
    tensors = [*module.parameters(), *module.buffers()]
    return all(t.device.type == wanted.type and wanted.index in (None, t.device.index) for t in tensors)
