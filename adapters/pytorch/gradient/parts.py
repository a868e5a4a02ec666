"""What the types of a module's parts say about its gradient, before anything runs."""

import re

import torch
from torch import nn

_SUSPECTS = {
    "rounds values": {"round", "rounding", "quant", "quantize", "quantizer", "quantization", "discretize", "jpeg"},
    "takes signs": {"sign", "binarize", "binarizer", "binary", "heaviside"},
    "draws random numbers": {"noise", "noisy", "random", "stochastic", "bernoulli"},
}


def suspicious_parts(module: nn.Module) -> dict[str, str]:
    """Module types that round, take signs, quantise or draw random numbers, by type, mode and name."""
    found: dict[str, str] = {}
    for part in module.modules():
        kind = type(part).__name__
        words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", kind)}
        if part.training and isinstance(part, nn.modules.dropout._DropoutNd):
            found[kind] = "draws random numbers (it stays in training mode)"
        elif part.training and isinstance(part, nn.modules.batchnorm._BatchNorm):
            found[kind] = "depends on the batch (it stays in training mode)"
        elif ".quantized" in type(part).__module__ or ".quantization" in type(part).__module__:
            found[kind] = "quantises"
        else:
            for effect, suspects in _SUSPECTS.items():
                if words & suspects:
                    found[kind] = f"{effect}, to judge by its name"
    return found


def closed_parts(module: nn.Module) -> tuple[str, ...]:
    """Types of parts whose inside is compiled, where no operation can be exchanged."""
    kinds = (torch.jit.ScriptModule, torch.jit.ScriptFunction)
    parts = list(module.modules())
    held = [value for part in parts for value in (part, *vars(part).values()) if isinstance(value, kinds)]
    return tuple(dict.fromkeys(type(part).__name__ for part in held))
