"""The folders, the arrows between them, and the layers inside harness, read off the code."""

import ast
import graphlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("adapters", "harness", "reports", "suites")
SKIPPED = {"tests", "build", "dist"}

# Inside harness a module imports only from layers below its own.
LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "certificate",
        "errors",
        "geometry",
        "losses",
        "paired",
        "randomness",
        "rejection",
        "sequence",
        "statistics",
        "straight_through",
        "thresholds",
        "model_info",
        "policy",
        "record",
    ),
    ("trust",),
    ("decision", "threat", "classifier", "results"),
    ("grid", "regression", "rule", "stage", "stopping"),
    ("pipeline",),
    ("target", "traits"),
    ("gradients", "defenses"),
    ("attacks",),
    ("training", "diagnosis", "request"),
    ("step",),
    ("planner",),
    ("asked", "execution", "gallery", "stochastic", "verdict", "waivers"),
    ("evaluation",),
    ("beside", "comparing", "detection", "subject"),
    ("summary", "inspection"),
)


def sources() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        if parts[0] not in SKIPPED and not any(part.startswith(".") for part in parts):
            yield path


def module(path: Path) -> tuple[str, ...]:
    """("harness", "attacks", "pgd") of a file; a package is its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {module(path): path for path in sources()}


def guarded(tree: ast.Module) -> set[ast.AST]:
    """Everything under `if TYPE_CHECKING:`, which never runs."""
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    return {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}


def imports(path: Path, *, typing_too: bool = False) -> Iterator[tuple[str, ...]]:
    """The modules of this package that a file imports, by their folders."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = set() if typing_too else guarded(tree)
    package = module(path) if path.name == "__init__.py" else module(path)[:-1]
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node.level == 0 or node in hidden:
            continue
        base = package[: len(package) - (node.level - 1)] + tuple((node.module or "").split(".") if node.module else ())
        for alias in node.names:
            deeper = (*base, alias.name)
            yield deeper if deeper in MODULES else base


def test_there_is_something_to_read() -> None:
    assert len(MODULES) > 90
    assert ("harness", "attacks", "pgd") in MODULES
    assert ("harness", "attacks", "best") in set(imports(MODULES["harness", "attacks", "pgd"]))


@pytest.mark.parametrize("path", list(sources()), ids=lambda p: str(p.relative_to(ROOT)))
def test_one_file(path: Path) -> None:
    """Names, relative imports, and arrows between folders."""
    name = path.relative_to(ROOT)
    assert str(name).isascii()
    assert path.stem not in ("utils", "util", "helpers", "helper", "common", "misc")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "robcheck" for alias in node.names), f"line {node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            assert (node.module or "").split(".")[0] not in ("robcheck", *FOLDERS), f"line {node.lineno}"
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Name | ast.arg):
            text = getattr(node, "name", None) or getattr(node, "id", None) or getattr(node, "arg", "")
            assert text.isascii(), f"line {node.lineno}"
    here = module(path)
    folder = here[0] if here and here[0] in FOLDERS else "roof"
    allowed = {"roof": {*FOLDERS, "roof"}, "harness": {"harness"}}.get(folder, {folder, "harness"})
    for target in imports(path, typing_too=True):
        assert target in MODULES, f"{name} imports {'.'.join(target)}, which is not there"
        there = target[0] if target and target[0] in FOLDERS else "roof"
        # The version of the package is the one thing that everyone may know.
        assert there in allowed or target == (), f"{name} imports {'.'.join(target)}"


def layer(name: tuple[str, ...]) -> int | None:
    return next((level for level, names in enumerate(LAYERS) if len(name) > 1 and name[1] in names), None)


def test_layers_inside_harness() -> None:
    wrong = []
    for here, path in MODULES.items():
        if here[:1] != ("harness",) or here == ("harness",):
            continue
        level = layer(here)
        assert level is not None, f"{'.'.join(here)} has no layer: add it to the list in this test and in the design"
        for target in imports(path):
            if target[:2] == here[:2]:
                continue
            beneath = layer(target)
            if beneath is None or beneath > level or (beneath == level and here[1] != target[1] and level > 1):
                wrong.append(f"{'.'.join(here)} -> {'.'.join(target)}")
    assert wrong == []


def test_no_circle() -> None:
    graph = {here: {t for t in imports(path) if t != here} for here, path in MODULES.items()}
    # A package that lists its modules and modules that ask their package are a circle only if a name goes round.
    for here, targets in graph.items():
        graph[here] = {t for t in targets if not (here[: len(t)] == t and t != here)}
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_no_module_asks_its_own_package_for_names() -> None:
    """`from . import name` inside a package works only by the order of its lines."""
    wrong = []
    for here, path in MODULES.items():
        if path.name == "__init__.py":
            continue
        wrong += [
            f"{'.'.join(here)} -> {'.'.join(t)}" for t in imports(path) if t and here[: len(t)] == t and t != here
        ]
    assert wrong == []


def test_folders_and_packages_agree() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {".".join(("robcheck", *here)) for here, path in MODULES.items() if path.name == "__init__.py"}
    assert set(config["tool"]["setuptools"]["packages"]) == folders
    assert {".".join(("robcheck", *here[:-1])) for here, p in MODULES.items() if p.name != "__init__.py"} <= folders


@pytest.mark.parametrize(
    ("what", "heavy"),
    [
        ("robcheck", "torch onnx onnxruntime scipy sklearn art numpy matplotlib pydantic"),
        ("robcheck.reports", "torch onnx onnxruntime scipy sklearn art"),
        ("robcheck.harness.results", "torch onnx onnxruntime scipy sklearn art matplotlib"),
    ],
)
def test_a_fresh_import_is_light(what: str, heavy: str) -> None:
    code = (
        f"import sys, {what}\n"
        f"print(sorted(set({heavy!r}.split()) & set(sys.modules)))\n"
        "print(sorted(set(sys.modules['robcheck'].__all__) - set(dir(sys.modules['robcheck']))))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.splitlines() == ["[]", "[]"]


def test_public_names_are_there() -> None:
    import robcheck

    for name in robcheck.__all__:
        assert getattr(robcheck, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        robcheck.no_such_name  # noqa: B018


def test_results_and_reports_never_import_torch() -> None:
    """Neither directly nor through anything that they import at the top of the file."""
    seen: set[tuple[str, ...]] = set()
    todo = [here for here in MODULES if here[:1] == ("reports",)]
    while todo:
        here = todo.pop()
        if here in seen:
            continue
        seen.add(here)
        tree = ast.parse(MODULES[here].read_text(encoding="utf-8"))
        for node in tree.body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            assert not any(n.split(".")[0] == "torch" for n in names), ".".join(here)
        todo += [t for t in imports(MODULES[here]) if t]


def test_test_files_mirror_folders() -> None:
    strangers = {p.name for p in (ROOT / "tests").iterdir() if p.is_dir() and not p.name.startswith((".", "__"))}
    assert strangers <= {*FOLDERS, "benchmarks"}
