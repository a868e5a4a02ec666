"""What a suite may say, and the sentence that answers anything else."""

import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robcheck.harness.attacks import ATTACKS
from robcheck.harness.defenses import parse_defense
from robcheck.harness.errors import SuiteError, UsageError
from robcheck.harness.gradients import Bpda
from robcheck.harness.results import Gate
from robcheck.suites import Suite, builtin_suites, load_suite

BASE = "name: mine\nattacks: [{attack: pgd}]\n"


def load(folder: Path, text: str) -> Suite:
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    return load_suite(path)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(SuiteError) as caught:
        load(folder, text)
    message = str(caught.value)
    assert str(folder / "suite.yaml") in message
    assert len(message.splitlines()) == 1
    return message.removeprefix(f"{folder / 'suite.yaml'}: ")


def entry(text: str) -> str:
    return f"name: mine\nattacks:\n  - {{attack: apgd}}\n  - {{{text}}}\n"


@pytest.mark.parametrize(
    ("text", "start", "words"),
    [
        # unknown keys, at every level
        (BASE + "treat: {}\n", "treat: unknown key", ("'threat'", "budget")),
        (BASE + "threat: {norn: linf}\n", "threat.norn: unknown key", ("'norm'", "epsilon")),
        (BASE + "budget: {passes: 5}\n", "budget.passes: unknown key", ("passes_per_sample",)),
        (BASE + "gate: {min_accuracy: 0.5}\n", "gate.min_accuracy: unknown key", ("'min_robust_accuracy'",)),
        (entry("attack: pgd, stps: 5"), "attacks[1].stps: unknown key", ("'steps'", "momentum", "closest")),
        (entry("attack: fgsm, steps: 5"), "attacks[1].steps: unknown key", ("random_start",)),
        (BASE + "pgd: 1\n", "pgd: unknown key", ("attacks",)),
        (BASE + "config: 1\n", "config: unknown key", ("attacks",)),
        (BASE + "threat: {config: 1}\n", "threat.config: unknown key", ("norm",)),
        (entry("attack: pgd, pgd: 1"), "attacks[1].pgd: unknown key", ("steps",)),
        # unknown attacks
        (entry("attack: pdg"), "attacks[1].attack: unknown attack 'pdg'", ("did you mean 'pgd'", "apgd")),
        (entry("attack: 5"), "attacks[1].attack: unknown attack", tuple(ATTACKS)),
        (entry("steps: 5"), "attacks[1]", ("attack",)),
        (entry("attack: [pgd]"), "attacks[1]", ("attack",)),
        (entry("attack: {a: b}"), "attacks[1]", ("attack",)),
        # wrong types
        (BASE + "threat: linf\n", "threat: ", ("linf",)),
        (BASE + "defenses: jpeg\n", "defenses: ", ("list",)),
        (BASE + "defenses: [1]\n", "defenses[0]: ", ("string",)),
        ("name: mine\nattacks: pgd\n", "attacks: ", ("list",)),
        ("name: mine\nattacks: [pgd]\n", "attacks[0]: ", ("pgd",)),
        ("name: 5\nattacks: [{attack: pgd}]\n", "name: ", ("string",)),
        (entry("attack: pgd, steps: 1.5"), "attacks[1].steps: ", ("integer",)),
        (entry("attack: pgd, steps: yes"), "attacks[1].steps: ", ("integer",)),
        (entry("attack: pgd, loss: [ce]"), "attacks[1].loss: ", ("ce",)),
        (entry("attack: pgd, samples: '5'"), "attacks[1].samples: ", ("integer",)),
        (entry("attack: pgd, eot: true"), "attacks[1].eot", ()),
        (entry("attack: pgd, closest: [1]"), "attacks[1].closest", ("number",)),
        (entry("attack: pgd, closest: often"), "attacks[1].closest", ("number",)),
        (entry("attack: pgd, step_size: big"), "attacks[1].step_size", ("number",)),
        (entry("attack: pgd, momentum: nan"), "attacks[1].momentum", ("number",)),
        (BASE + "threat: {epsilon: }\n", "threat.epsilon: ", ("number",)),
        (BASE + "threat: {epsilon: [8]}\n", "threat.epsilon: ", ("number",)),
        (BASE + "threat: {epsilon: 2001-01-01}\n", "threat.epsilon: ", ("number",)),
        (BASE + "threat: {epsilon: yes}\n", "threat.epsilon: ", ("number",)),
        (BASE + "threat: {epsilon: true}\n", "threat.epsilon: ", ("number",)),
        # out of range
        (BASE + "threat: {epsilon: 0}\n", "threat.epsilon: ", ("greater than 0",)),
        (BASE + "threat: {epsilon: -8/255}\n", "threat.epsilon: ", ("greater than 0",)),
        (BASE + "threat: {epsilon: 8/0}\n", "threat.epsilon: ", ("zero",)),
        (BASE + "threat: {epsilon: .nan}\n", "threat.epsilon: ", ("finite",)),
        (BASE + "threat: {epsilon: .inf}\n", "threat.epsilon: ", ("finite",)),
        (BASE + "gate: {min_robust_accuracy: 50}\n", "gate.min_robust_accuracy: ", ("1",)),
        (BASE + "gate: {confidence: 0.5}\n", "gate.confidence: ", ("0.5",)),
        (BASE + "gate: {confidence: 1}\n", "gate.confidence: ", ("1",)),
        (BASE + "budget: {passes_per_sample: 0}\n", "budget.passes_per_sample: ", ("greater than 0",)),
        (entry("attack: pgd, steps: 0"), "attacks[1].steps: ", ("greater than or equal to 1",)),
        (entry("attack: pgd, step_size: 0"), "attacks[1].step_size: ", ("greater than 0",)),
        (entry("attack: pgd, closest: 0"), "attacks[1].closest: ", ("greater than 0",)),
        (entry("attack: pgd, closest: 3/2"), "attacks[1].closest: ", ("less than or equal to 1",)),
        (entry("attack: pgd, samples: 0"), "attacks[1].samples: ", ("greater than or equal to 1",)),
        (entry("attack: pgd, eot: 0"), "attacks[1].eot", ("1",)),
        ("name: mine\nattacks: []\n", "attacks: ", ("1",)),
        ("name: ''\nattacks: [{attack: pgd}]\n", "name: ", ("1",)),
        # words that are not on the list
        (BASE + "threat: {norm: l-inf}\n", "threat.norm: 'l-inf' is not possible", ("did you mean 'linf'", "l0")),
        (BASE + "gate: {on: points}\n", "gate.on: 'points' is not possible", ("did you mean 'point'", "interval")),
        (entry("attack: pgd, loss: magrin"), "attacks[1].loss: 'magrin' is not possible", ("did you mean 'margin'",)),
        (entry("attack: pgd, gradient: bpda-idntity"), "attacks[1].gradient: 'bpda-idntity' is", ("'bpda-identity'",)),
        (entry("attack: pgd, gradient: 3"), "attacks[1].gradient: '3' is not known", ("nes",)),
        (entry("attack: pgd, gradient: {kind: ness}"), "attacks[1].gradient: 'ness' is not", ("did you mean 'nes'",)),
        (entry("attack: pgd, gradient: {kind: [nes]}"), "attacks[1].gradient: ", ("is not known",)),
        (entry("attack: pgd, gradient: {kind: nes, size: x}"), "attacks[1].gradient.size: ", ("number",)),
        (
            entry("attack: pgd, gradient: {kind: nes, directons: 5}"),
            "attacks[1].gradient.directons: ",
            ("'directions'",),
        ),
        (entry("attack: pgd, gradient: {kind: nes, directions: 0}"), "attacks[1].gradient.directions: ", ("1",)),
        (entry("attack: pgd, gradient: {kind: unrolled, last: 0}"), "attacks[1].gradient.last: ", ("1",)),
        (entry("attack: pgd, eot: many"), "attacks[1].eot: 'many'", ("auto", "number")),
        (BASE + "decision_rule: majorty:3\n", "decision_rule: ", ("majority:K",)),
        (BASE + "decision_rule: {majority: x}\n", "decision_rule: ", ("majority:K",)),
        (BASE + "decision_rule: {majority: 5, mean: 5}\n", "decision_rule: ", ()),
        # combinations that make no sense, with the reason
        (entry("attack: square, gradient: nes"), "attacks[1]: ", ("asks for scores",)),
        (entry("attack: hopskipjump, gradient: auto"), "attacks[1]: ", ("asks for decisions",)),
        (entry("attack: fgsm, momentum: 0.9"), "attacks[1]: ", ("nothing to accumulate",)),
        (entry("attack: fab, momentum: 0.9"), "attacks[1]: ", ("boundary",)),
        (entry("attack: genattack, momentum: 0.9"), "attacks[1]: ", ("no gradient",)),
        (entry("attack: square, loss: ce"), "attacks[1]: ", ("no loss",)),
        (entry("attack: pgd, loss: match, targets: 3"), "attacks[1]: ", ("one per restart",)),
        (entry("attack: pgd, rejecting: 1"), "attacks[1].rejecting: ", ()),
        (entry("attack: transfer, gradient: nes"), "attacks[1]: ", ("`source`",)),
        (entry("attack: transfer, eot: 3"), "attacks[1]: ", ("draws nothing",)),
        # missing and twice
        ("attacks: [{attack: pgd}]\n", "name: is missing", ()),
        ("name: mine\n", "attacks: is missing", ()),
        ("name: m\nattacks: [{attack: pgd, name: a}, {attack: apgd, name: a}]\n", "", ("'a' occurs twice",)),
    ],
    ids=lambda value: value.splitlines()[-1].strip(" -") if isinstance(value, str) and "\n" in value else "",
)
def test_the_sentence_names_path_and_word(tmp_path: Path, text: str, start: str, words: tuple[str, ...]) -> None:
    message = refused(tmp_path, text)
    assert message.startswith(start), message
    assert all(word in message for word in words), message


def test_keys_with_line_breaks_do_not_break_the_line(tmp_path: Path) -> None:
    refused(tmp_path, BASE + '"a\\nb": 1\n')
    refused(tmp_path, BASE + 'threat: {"a\\rb": 1}\n')
    refused(tmp_path, entry('attack: pgd, "x\\n": 1'))


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    suite = load(
        tmp_path,
        """
name: mine
description: all of it
threat: {norm: l2, epsilon: 1/2}
defenses: ["jpeg:quality=50"]
budget: {passes_per_sample: 1000}
gate: {min_robust_accuracy: 0.4, on: point, confidence: 0.9}
attacks:
  - {attack: pgd, loss: ce, steps: 7, step_size: 1/4, momentum: 1e-1, closest: 1/2, at_least: 3}
  - {attack: pgd, loss: ce}
  - {attack: pgd, loss: ce}
  - {name: last, attack: apgd, eot: 5, gradient: bpda, samples: 9}
  - {attack: pgd, eot: auto}
""",
    )
    assert (suite.threat.norm, suite.threat.epsilon) == ("l2", 0.5)
    assert suite.gate.gate() == Gate(min_robust_accuracy=0.4, on="point", confidence=0.9)
    assert suite.budget.passes_per_sample == 1000
    assert [request.name for request in suite.attacks] == ["pgd-ce", "pgd-ce-2", "pgd-ce-3", "last", "pgd"]
    first, *_, last, _ = suite.attacks
    assert (first.config.steps, first.config.step_size, first.config.momentum) == (7, 0.25, 0.1)  # type: ignore[union-attr]
    assert (first.closest, first.at_least) == (0.5, 3)
    assert (last.eot, last.gradient, last.samples) == (5, Bpda(), 9)
    assert load_suite(suite) is suite


@pytest.mark.parametrize("name", builtin_suites())
def test_built_in_suites(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert suite.description
    assert load_suite(str(builtin_suites()[name])) == suite
    assert len({request.name for request in suite.attacks}) == len(suite.attacks)
    for defense in suite.defenses:
        parse_defense(defense)
    assert any(ATTACKS[request.config.attack].needs == "gradients" for request in suite.attacks)
    assert suite.gate.min_robust_accuracy is None


def test_unknown_names() -> None:
    assert set(builtin_suites()) >= {"adaptive", "quick", "standard"}
    with pytest.raises(SuiteError, match=r"'adaptiv'.*did you mean 'adaptive'.*quick"):
        load_suite("adaptiv")
    with pytest.raises(UsageError):
        load_suite("no/such/file.yaml")
    for odd in ("", " ", "\0", "\0.yaml", "a" * 5000):
        with pytest.raises(SuiteError):
            load_suite(odd)


KEYS = ["name", "attacks", "threat", "norm", "epsilon", "gate", "on", "budget", "attack", "steps", "loss", "config"]
KEYS += ["closest", "samples", "defenses", "min_robust_accuracy", "step_size", "description", "eot", "pgd"]
TAGS = ["bool", "int", "float", "timestamp", "binary", "set", "omap", "pairs", "null", "str", "seq", "map"]
WORDS = [*ATTACKS, *KEYS, "linf", "8/255", "1e-3", "yes", "auto", "~", "nan", "quick", "2001-01-01", "0x10", "1_0", "="]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(string.printable, max_size=6),
    st.dates(),
)
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=12,
)
entries = st.dictionaries(st.sampled_from(KEYS), trees, max_size=4).map(lambda d: {"attack": "pgd", **d})
suites = st.fixed_dictionaries(
    {"name": st.just("a")},
    optional={
        "attacks": st.one_of(st.lists(st.one_of(entries, trees), max_size=3), trees),
        "threat": trees,
        "gate": trees,
        "budget": trees,
        "defenses": trees,
        "pgd": trees,
    },
)


def only_suite_errors(folder: Path, content: str) -> None:
    path = folder / "fuzz.yaml"
    path.write_text(content, encoding="utf-8", newline="")
    message = ""
    try:
        load_suite(path)
    except SuiteError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1, message


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False)


@FUZZ
@given(data=st.one_of(suites, trees))
def test_no_tree_is_more_than_a_suite_error(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    only_suite_errors(tmp_path_factory.getbasetemp(), yaml.safe_dump(data, sort_keys=False))


@FUZZ
@given(
    text=st.one_of(
        st.text(st.characters(codec="utf-8"), max_size=30),
        st.text("name: attck[]{}&*!<|>-\"'\n%@`~#,?0.:/", max_size=60),
    ),
    head=st.sampled_from(["", BASE, "name: a\nthreat: ", "name: !!"]),
)
def test_no_text_is_more_than_a_suite_error(tmp_path_factory: pytest.TempPathFactory, text: str, head: str) -> None:
    only_suite_errors(tmp_path_factory.getbasetemp(), head + text)


@FUZZ
@given(
    tag=st.sampled_from(TAGS),
    value=st.one_of(
        st.sampled_from(["''", "a", "[]", "{}", "[a, b]", "{a: b}", "5", "._", "0x_", "-"]),
        st.text("0x_.:-aeb", max_size=5),
    ),
)
def test_no_tag_is_more_than_a_suite_error(tmp_path_factory: pytest.TempPathFactory, tag: str, value: str) -> None:
    only_suite_errors(tmp_path_factory.getbasetemp(), BASE + f"description: !!{tag} {value}\n")
