"""Well-known architectures with random weights through both exporters: does the twin agree, and what does it cost?

    python tests/benchmarks/torchvision_twins.py FOLDER [NAME ...] [--what parity gradient speed] [--batch 32]

Needs torchvision, and onnxscript for the newer exporter; the files are written to FOLDER once and kept. Parity is
against onnxruntime, relative to the largest logit, at batches of 2 and 5. The gradient is that of a random combination
of the logits, in float64, against central differences of the same function and against torch's own for the original
module. Speed is processor time (wall clock with more than one thread) of forward and backward to the pixels against the
original module, taking turns, median of the rounds.
"""

import argparse
import contextlib
import io
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median

import onnx
import torch
from torch import Tensor, nn
from torchvision import models

from robcheck.adapters.onnx import load_onnx
from robcheck.adapters.onnx.file.preflight import check_file
from robcheck.adapters.onnx.translator.translate import translate

NAMES = ("resnet18", "mobilenet_v3_small", "efficientnet_b0", "vit_b_16", "swin_t", "convnext_tiny")
EXPORTS = (("legacy", 11), ("legacy", 13), ("legacy", 17), ("dynamo", 18), ("dynamo", 23))
PARITY, DIFFERENCES, ORIGINAL, RATIO = 1e-4, 1e-5, 1e-2, 1.15
"""The third is loose: folding the normalisation in float32, as exporters do, tips some units over their kink."""
SPEED = ("resnet18", "mobilenet_v3_small", "vit_b_16")


def module(name: str) -> nn.Module:
    """The architecture with seeded random weights, none of them so small or so plain that an error would not show."""
    torch.manual_seed(0)
    network: nn.Module = models.get_model(name, weights=None)
    for key, weight in network.named_parameters():
        if "layer_scale" in key or not weight.any():
            nn.init.normal_(weight, std=0.1 if "layer_scale" in key else 0.02)
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        norm.momentum = None
    if norms:
        with torch.no_grad():
            network.train()(pixels(4))
    return network.eval()


def pixels(count: int, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, 224, 224, generator=torch.Generator().manual_seed(seed))


def export(folder: Path, name: str, exporter: str, opset: int) -> Path | str:
    """The file, or why the exporter refused."""
    path = folder / f"{name}-{exporter}-{opset}.onnx"
    if path.exists():
        return path
    dynamo = exporter == "dynamo"
    free = {"dynamic_shapes": ({0: torch.export.Dim("n")},)} if dynamo else {"dynamic_axes": {"x": {0: "n"}}}
    quiet = {"external_data": False, "verbose": False} if dynamo else {}
    names = {"input_names": ["x"], "output_names": ["y"]}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                module(name), (pixels(2),), str(path), opset_version=opset, dynamo=dynamo, **names, **quiet, **free
            )
        except Exception as error:
            path.unlink(missing_ok=True)
            return f"not exported: {str(error).splitlines()[0][:90]}"
    return path


def parity(path: Path) -> tuple[float, str]:
    """Largest difference of the logits, relative to the largest logit; how the twin takes batches."""
    classifier = load_onnx(path)
    twin = classifier.differentiable()
    if twin is None:
        return float("inf"), classifier.info.twin.reason
    worst = 0.0
    for size in (2, 5):
        expected = classifier.logits(pixels(size))
        with torch.no_grad():
            worst = max(worst, float((twin(pixels(size)) - expected).abs().max() / expected.abs().max()))
    return worst, str(getattr(twin, "strategy", ""))


def directional(path: Path, reference: nn.Module) -> tuple[float, float]:
    """Relative errors of the float64 gradient: against central differences, and against the original module."""
    checked = check_file(path)
    graph = checked.model.graph
    translation = translate(checked.model, path.parent, graph.input[0].name, graph.output[0].name, torch.float64)
    if translation.module is None:
        return float("inf"), float("inf")
    twin, reference = translation.module, reference.double().requires_grad_(False)
    x = pixels(2).double()
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(reference(x).shape, generator=generator, dtype=torch.float64)
    slopes = []
    for forward in (twin, reference):
        point = x.clone().requires_grad_(True)
        slopes.append(torch.autograd.grad((forward(point) * weight).sum(), point)[0])
    error = float((slopes[0] - slopes[1]).norm() / slopes[1].norm())
    direction = torch.randn(x.shape, generator=generator, dtype=torch.float64) + slopes[0] / slopes[0].std()
    expected = float((slopes[0] * direction).sum())
    best = float("inf")
    for step in (1e-5, 1e-6, 1e-7, 1e-8, 1e-9):
        with torch.no_grad():
            ends = [float((twin(x + side * step * direction) * weight).sum()) for side in (1, -1)]
        best = min(best, abs((ends[0] - ends[1]) / (2 * step) - expected) / abs(expected))
    return best, error


def _timed(forward: Callable[[Tensor], Tensor], x: Tensor) -> float:
    x = x.detach().requires_grad_(True)
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    started = clock()
    torch.autograd.grad(forward(x).logsumexp(1).sum(), x)
    return clock() - started


def speed(path: Path, reference: nn.Module, batch: int, rounds: int) -> tuple[float, float, float]:
    """Median seconds of twin and module, and the median ratio of neighbouring turns."""
    twin = load_onnx(path).differentiable()
    assert twin is not None
    x = pixels(batch)
    reference.requires_grad_(False)
    for forward in (twin, reference):
        _timed(forward, x)
    times = [(_timed(twin, x), _timed(reference, x)) for _ in range(rounds)]
    ours, theirs = zip(*times, strict=True)
    return median(ours), median(theirs), median(a / b for a, b in times)


def _line(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=list(NAMES))
    parser.add_argument("--what", nargs="+", choices=["parity", "gradient", "speed"], default=["parity", "gradient"])
    parser.add_argument("--exports", nargs="+", default=[f"{kind}-{opset}" for kind, opset in EXPORTS])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    logging.disable(logging.ERROR)
    print(
        f"torch {torch.__version__}, onnx {onnx.__version__}; {os.cpu_count()} {os.uname().machine} cores, "
        f"{options.threads} thread(s), batch {options.batch}, {options.rounds} rounds\n"
    )
    _line("file", "parity", "batches", "differences", "module", "twin s", "module s", "ratio")
    _line(*["---"] * 8)
    bad = 0
    for name, (exporter, opset) in product(options.names, EXPORTS):
        if f"{exporter}-{opset}" not in options.exports:
            continue
        path = export(options.folder, name, exporter, opset)
        cells = ["-"] * 7
        if isinstance(path, str):
            cells[1] = path
        else:
            bad += _measured(path, name, options, cells)
        _line(f"{name}-{exporter}-{opset}", *cells)
    return 1 if bad else 0


def _measured(path: Path, name: str, options: argparse.Namespace, cells: list[str]) -> int:
    """Fill a row in; how many targets it misses."""
    bad = 0
    if "parity" in options.what:
        worst, cells[1] = parity(path)
        cells[0] = f"{worst:.1e}"
        bad += worst > PARITY
    if "gradient" in options.what:
        errors = directional(path, module(name))
        cells[2:4] = [f"{error:.1e}" for error in errors]
        bad += errors[0] > DIFFERENCES or errors[1] > ORIGINAL
    if "speed" in options.what and name in SPEED:
        *seconds, ratio = speed(path, module(name), options.batch, options.rounds)
        cells[4:7] = [*(f"{value:.2f}" for value in seconds), f"{ratio:.2f}"]
        bad += ratio > RATIO
    return bad


if __name__ == "__main__":
    sys.exit(main())
