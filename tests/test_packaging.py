"""What a user installs: everything that runs, nothing that tests, and types that hold."""

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """The files that belong to the project: tracked ones, and new ones that git does not ignore."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    command = [git, "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted({name for name in names if name and (ROOT / name).is_file()})


@pytest.fixture(scope="module")
def copy(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree") / "robcheck"
    for name in tracked:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    return folder


def shipped(tracked: list[str]) -> set[str]:
    """The files of the tree that an installation has to hold."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    wanted = set()
    for name in tracked:
        path = Path(name)
        package = ".".join(("robcheck", *path.parent.parts))
        if package not in config["packages"] and path.parent.name != "templates":
            continue
        home = path.parent.parent if path.parent.name == "templates" else path.parent
        patterns = config["package-data"].get(".".join(("robcheck", *home.parts)), [])
        if path.suffix == ".py" or any(Path(*path.parts[len(home.parts) :]).match(p) for p in patterns):
            wanted.add(f"robcheck/{name}")
    return wanted


@pytest.fixture(scope="module")
def built(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(copy)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
    return out


def test_the_wheel_holds_everything_and_nothing_else(built: Path, tracked: list[str]) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    tops = {name.split("/")[0] for name in names}
    assert len(tops) == 2
    assert "robcheck" in tops
    assert next(iter(tops - {"robcheck"})).endswith(".dist-info")
    files = {name for name in names if name.startswith("robcheck/")}
    assert files == shipped(tracked)
    for must in (
        "py.typed",
        "cli.py",
        "suites/adaptive.yaml",
        "suites/quick.yaml",
        "reports/templates/report.html.j2",
        "reports/templates/style.css",
        "adapters/embedded/digits-cnn.onnx",
        "adapters/embedded/digits-cnn.json",
        "adapters/embedded/digits-cnn-pgd.onnx",
        "harness/attacks/pgd.py",
        "adapters/onnx/translator/operators/conv.py",
    ):
        assert f"robcheck/{must}" in files
    assert not any("test" in part for name in files for part in name.split("/")[:-1])


def test_the_wheel_names_its_command_and_its_licence(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        info = next(n.split("/")[0] for n in archive.namelist() if ".dist-info/" in n)
        assert "robcheck = robcheck.cli:main" in archive.read(f"{info}/entry_points.txt").decode()
        assert any(name.startswith(f"{info}/licenses/") for name in archive.namelist())
        metadata = archive.read(f"{info}/METADATA").decode()
    assert "\nRequires-Python: >=3.11" in metadata
    assert "\nLicense-Expression: Apache-2.0" in metadata


def test_the_sdist_can_build_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    out = tmp_path / "out"
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(out), str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
    (again,), (first,) = out.glob("*.whl"), built.glob("*.whl")
    with zipfile.ZipFile(again) as a, zipfile.ZipFile(first) as b:
        assert sorted(a.namelist()) == sorted(b.namelist())


def test_an_installed_wheel_starts(built: Path, tmp_path: Path) -> None:
    """Unpacked where nothing else of the project lies."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import robcheck, robcheck.suites\n"
        "assert robcheck.__file__.startswith(sys.argv[1]), robcheck.__file__\n"
        "print(*robcheck.suites.builtin_suites())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "site")]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert "adaptive" in answer.stdout


def test_types_hold(copy: Path, tmp_path: Path) -> None:
    """Strictly, in a folder of the package's own name, for type checkers name modules after it."""
    tree = tmp_path / "robcheck"
    shutil.copytree(copy, tree, ignore=shutil.ignore_patterns("tests", "build", "*.egg-info"))
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(tree / "pyproject.toml")]
    command += ["--cache-dir", str(tmp_path / "cache"), "-p", "robcheck"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, cwd=tmp_path)
    assert answer.returncode == 0, answer.stdout[-5000:] + answer.stderr[-2000:]
