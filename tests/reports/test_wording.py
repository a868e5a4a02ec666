import pytest

from robcheck.harness.results import Gate, ThreatRecord
from robcheck.reports import wording


@pytest.mark.parametrize(
    ("fraction", "words"),
    [
        (0.995, "99.5 %"),
        (1.0, "100.0 %"),
        (0.0, "0.0 %"),
        (0.99999, "> 99.9 %"),
        (0.00001, "< 0.1 %"),
        (None, "\u2013"),
        (float("nan"), "\u2013"),
    ],
)
def test_percent(fraction, words):
    assert wording.percent(fraction) == words.replace(" ", "\u202f")


@pytest.mark.parametrize(
    ("value", "words"),
    [(1234567.0, "1,234,567"), (3.1e-06, "3.1e-6"), (0.03137254, "0.03137"), (2.5e20, "2.5e20"), (None, "\u2013")],
)
def test_number(value, words):
    assert wording.number(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (59.7, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_duration(seconds, words):
    assert wording.duration(seconds) == words


@pytest.mark.parametrize(
    ("norm", "epsilon", "words"),
    [
        ("linf", 8 / 255, "8/255 = 0.03137"),
        ("linf", 0.03, "0.03"),
        ("l2", 0.5, "0.5"),
        ("l0", 12.0, "12"),
        ("l2", (0.5, 0.5), "0.5"),
        ("l2", (0.5, 1.5), "0.5 to 1.5, one per sample"),
        ("linf", 0.0, "0"),
    ],
)
def test_radius(norm, epsilon, words):
    assert wording.radius(ThreatRecord(norm=norm, epsilon=epsilon)) == words


def test_gate():
    assert wording.gate(Gate()) == "no gate"
    assert wording.gate(Gate(min_robust_accuracy=0.5)) == "at least 50.0\u202f%"
    assert wording.held_against(Gate(min_robust_accuracy=0.5, confidence=0.99)) == "held against the 99\u202f% interval"
    assert wording.held_against(Gate(min_robust_accuracy=0.5, on="point")) == "held against the measured value"


def test_plural_and_rate():
    assert wording.plural(1, "class", "classes") == "1 class"
    assert wording.plural(1000, "sample") == "1,000 samples"
    assert (wording.rate(10, 0), wording.rate(1020, 1), wording.rate(7, 2)) == ("\u2013", "1,020", "3.5")
