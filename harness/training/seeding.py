"""Torch's generators, seeded for as long as layers are initialised or trained, and put back after."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed the generator of the CPU and, if it is one, of the CUDA device; others are neither read nor moved."""
    device = torch.device(device)
    cuda = device.type == "cuda"
    index = torch.cuda.current_device() if cuda and device.index is None else device.index
    with torch.random.fork_rng(devices=[index] if cuda else []):
        # Not torch.manual_seed, which reseeds every CUDA device too.
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.default_generators[index or 0].manual_seed(seed)
        yield
