"""YAML, strictly: what a person may have meant otherwise is an error with a place."""

import contextlib
from pathlib import Path

import pytest

from robcheck.harness.errors import SuiteError
from robcheck.suites import load_suite
from robcheck.suites.loader import load_yaml
from robcheck.suites.numbers import parse_number

BASE = "name: mine\nattacks: [{attack: pgd}]\n"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "suite.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(folder: Path, text: str | bytes) -> str:
    path = write(folder, text)
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    message = str(caught.value)
    assert str(path) in message
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\nname: b\n", ("'name' occurs twice", "line 2")),
        ("name: a\nattacks: [{attack: pgd, steps: 5, steps: 6}]\n", ("'steps' occurs twice", "line 2")),
        ("base: &b {attack: pgd}\nattacks: [*b]\n", ("aliases are not allowed",)),
        ("name: a\nattacks:\n  - <<: {attack: pgd}\n", ("merge keys are not allowed",)),
        ("name: a\nthreat: {1: linf}\n", ("key 1 is not a word",)),
        ("name: a\nthreat: {null: linf}\n", ("key None is not a word",)),
        ("name: [a\n", ("line",)),
        ("name: a\n\tattacks: b\n", ("line",)),
        ("- name\n", ("no map of keys",)),
        ("", ("no map of keys",)),
        ("just words\n", ("no map of keys",)),
        (b"\xff\xfe\x00\x01\x80", ("suite.yaml",)),
        (b"\x00\x01\x02", ("suite.yaml",)),
        ("name: !!python/object/apply:os.system [id]\n", ("could not determine a constructor",)),
        ("name: !!bool maybe\n", ("suite.yaml",)),
        ("name: !!timestamp soon\n", ("suite.yaml",)),
        ("name: !!int ''\n", ("suite.yaml",)),
        ("name: !!float ''\n", ("suite.yaml",)),
        ("name: 2001-99-99\n", ("suite.yaml",)),
        ("[" * 5000, ("suite.yaml",)),
        ("a: " + "{a: " * 2000 + "1" + "}" * 2000, ("suite.yaml",)),
    ],
    ids=lambda v: v[:30] if isinstance(v, str) else None,
)
def test_refused(tmp_path: Path, text: str | bytes, words: tuple[str, ...]) -> None:
    message = refused(tmp_path, text)
    assert all(word in message for word in words), message


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    assert "1 MiB" in refused(tmp_path, b"#" * ((1 << 20) + 1))


@pytest.mark.parametrize("what", ["missing", "folder", "long"])
def test_paths_that_cannot_be_read(tmp_path: Path, what: str) -> None:
    path = {"missing": tmp_path / "no.yaml", "folder": tmp_path, "long": tmp_path / ("a" * 5000)}[what]
    with pytest.raises(SuiteError) as caught:
        load_suite(path if what != "folder" else _folder(tmp_path))
    assert len(str(caught.value).splitlines()) == 1


def _folder(base: Path) -> Path:
    path = base / "folder.yaml"
    path.mkdir()
    return path


def test_words_stay_words(tmp_path: Path) -> None:
    data = load_yaml(write(tmp_path, "a: yes\nb: no\nc: on\nd: off\ne: 8/255\nf: 1e-3\ng: true\nh: 5\non: point\n"))
    assert data == {
        "a": "yes",
        "b": "no",
        "c": "on",
        "d": "off",
        "e": "8/255",
        "f": "1e-3",
        "g": True,
        "h": 5,
        "on": "point",
    }


def test_the_loader_leaves_yaml_as_it_was() -> None:
    import yaml

    assert yaml.safe_load("a: yes") == {"a": True}
    assert yaml.safe_load("a: &x 1\nb: *x") == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [("8/255", 8 / 255), (" 8 / 255 ", 8 / 255), ("1e-3", 1e-3), ("0.3", 0.3), (0.3, 0.3), (2, 2.0), ("-1", -1.0)],
)
def test_numbers(text: str | float, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text",
    ["8/0", "nan", "inf", "-inf", "", "8/", "eight", "1e999", True, float("nan"), float("inf"), "0x1", "1,5", 10**400],
)
def test_what_is_no_number(text: str | float) -> None:
    with pytest.raises(ValueError, match=r"number|zero"):
        parse_number(text)


@pytest.mark.parametrize("thing", [None, [1], {"a": 1}])
def test_what_is_not_even_a_word_is_no_number_either(thing: object) -> None:
    """pydantic turns a ValueError into a sentence; a TypeError ends the program."""
    with pytest.raises(ValueError, match="number"):
        parse_number(thing)  # type: ignore[arg-type]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("text", ["1e-4000000", "1e4000000"])
def test_huge_exponents_take_no_time(text: str) -> None:
    import time

    start = time.process_time()
    with contextlib.suppress(ValueError):
        parse_number(text)
    assert time.process_time() - start < 0.5
