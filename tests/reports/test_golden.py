"""The JSON of schema version 2 as it is: whoever changes it has to say so here, and old files have to stay readable."""

import json
from pathlib import Path

import pytest

from robcheck.harness.errors import DataError
from robcheck.harness.results import SCHEMA_VERSION
from robcheck.reports import read_json, render_json

GOLDEN = Path(__file__).parent / "goldens" / "result-v2.json"


def test_the_json_is_as_it_was(make_trusted):
    """To renew after a change of the schema: write render_json(make_trusted()) to the file, and look at the diff."""
    assert json.loads(render_json(make_trusted())) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_the_golden_reads_back_equal(make_trusted):
    assert read_json(GOLDEN) == make_trusted()
    assert SCHEMA_VERSION == 2


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("robust_accuracy",), 0.4),
        (("controls", 1, "fell"), 1),
        (("controls", 3, "status"), "failed"),
        (("power", "levels", 2, "found"), 6),
        (("radii", 2, "accuracy"), 0.45),
        (("grid", "robust_accuracy"), 0.45),
        (("certified", "accuracy"), 0.15),
        (("regression", "p"), 0.625),
        (("sequential", "looked"), [10, 20]),
        (("waivers", 1, "status"), "expired"),
        (("findings", 2, "waived"), "old (until 2027-01-31)"),
        (("samples", 5, "indicators"), ["I1", "I4"]),
        (("samples", 5, "evidence"), False),
        (("samples", 6, "evidence"), None),
        (("plan", 2, "revises"), "apgd-ce"),
        (("plan", 3, "cost"), "small breaks may be missed"),
        (("threat", "pixel_grid"), "none"),
    ],
)
def test_a_program_finds_it_there(where, value):
    found = json.loads(GOLDEN.read_text(encoding="utf-8"))
    for key in where:
        found = found[key]
    assert found == value


def test_a_file_of_version_1_is_refused(tmp_path):
    fields = json.loads(GOLDEN.read_text(encoding="utf-8"))
    fields["schema_version"] = 1
    for name in ("controls", "power", "radii", "grid", "certified", "waivers"):
        del fields[name]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(DataError, match="has schema version 1, this robcheck reads 2; evaluate again"):
        read_json(path)
