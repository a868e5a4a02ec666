import errno
import os
import subprocess
import sys

import pytest

import robcheck.reports
from robcheck.harness.errors import UnfinishedError, UsageError
from robcheck.reports import write_reports


def _full(*_args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_three_files_in_the_order_asked_for(tmp_path, make_result):
    paths = write_reports(make_result(), tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["report.html", "result.json", "junit.xml"]
    assert sorted(os.listdir(tmp_path / "new" / "folder")) == ["junit.xml", "report.html", "result.json"]


def test_an_unknown_format_writes_nothing(tmp_path, make_result):
    with pytest.raises(UsageError, match="'junit'"):
        write_reports(make_result(), tmp_path, ["json", "jnuit"])
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_report(tmp_path, make_result, monkeypatch, function):
    (path,) = write_reports(make_result(), tmp_path, ["json"])
    before = path.read_bytes()
    monkeypatch.setattr(os, function, _full)
    with pytest.raises(UnfinishedError, match="no space left") as raised:
        write_reports(make_result(verdict="PASS"), tmp_path)
    assert str(path) in str(raised.value)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_file_where_the_folder_should_be(tmp_path, make_result):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UnfinishedError, match="a file stands where the folder should be"):
            write_reports(make_result(), folder, ["json"])
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_where_the_file_should_be(tmp_path, make_result):
    (tmp_path / "result.json").mkdir()
    with pytest.raises(UnfinishedError, match="a folder of that name"):
        write_reports(make_result(), tmp_path, ["json"])
    assert os.listdir(tmp_path) == ["result.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_a_report_has_the_permissions_of_other_files(tmp_path, make_result):
    (path,) = write_reports(make_result(), tmp_path, ["json"])
    other = tmp_path / "other"
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode


def test_public_names_exist():
    assert all(hasattr(robcheck.reports, name) for name in robcheck.reports.__all__)


def test_reports_never_import_torch(tmp_path):
    code = (
        "import sys, robcheck.reports; "
        "bad = {'torch', 'matplotlib.pyplot', 'robcheck.adapters', 'robcheck.suites'} & set(sys.modules); "
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
