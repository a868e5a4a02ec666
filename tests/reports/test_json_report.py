import json
import math

import numpy as np
import pytest

from robcheck.harness.errors import DataError
from robcheck.harness.results import SCHEMA_VERSION
from robcheck.reports import read_json, render_json, write_reports


def _no_constants(word):
    raise AssertionError(f"{word} is not JSON")


def test_what_was_written_reads_back_equal(tmp_path, make_result):
    result = make_result()
    (path,) = write_reports(result, tmp_path, ["json"])
    assert read_json(path) == result


def test_a_pair_of_radii_and_a_box_read_back_equal(tmp_path, make_result):
    for epsilon in ((0.01, 0.02), None):
        result = make_result()
        result.threat.epsilon = epsilon
        (path,) = write_reports(result, tmp_path, ["json"])
        assert read_json(path) == result


def test_not_a_number_is_valid_json_and_reads_back(tmp_path, make_result):
    result = make_result(robust_accuracy=math.nan, interval=(-math.inf, math.inf))
    (path,) = write_reports(result, tmp_path, ["json"])
    fields = json.loads(path.read_text(), parse_constant=_no_constants)
    assert fields["robust_accuracy"] == "NaN"
    again = read_json(path)
    assert math.isnan(again.robust_accuracy)
    assert again.interval == (-math.inf, math.inf)


def test_numbers_are_numbers(make_result):
    result = make_result(suite_source={"eps": np.float32(0.5), "steps": np.int64(7), "list": np.arange(2)})
    fields = json.loads(render_json(result))
    assert fields["schema_version"] == SCHEMA_VERSION
    assert fields["suite_source"] == {"eps": 0.5, "steps": 7, "list": [0, 1]}
    assert fields["samples"][8]["distance"] == 0.002


def test_one_record_is_one_line(make_result):
    lines = render_json(make_result()).splitlines()
    assert sum('"clean_prediction": ' in line for line in lines) == 20 + 2
    assert all(line.isascii() for line in lines)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b"<html>", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"schema_version": 2, "seconds": NaN}', "is not JSON"),
        (b"[1]", "is not a robcheck result"),
        (b'{"version": 1}', "is not a robcheck result"),
        (b'{"schema_version": true}', "is not a robcheck result"),
        (b'{"schema_version": 99}', "update robcheck"),
        (b'{"schema_version": 0}', "evaluate again"),
        (b'{"schema_version": 1}', "has schema version 1, this robcheck reads 2; evaluate again"),
        (b'{"schema_version": 2}', "is not a whole robcheck result, at verdict"),
    ],
)
def test_anything_else_is_one_sentence(tmp_path, content, words):
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as raised:
        read_json(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_missing_file_and_a_folder_are_data_errors(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(DataError, match="cannot read"):
            read_json(path)
