"""The tables of the documents are what the stored figures give."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from spikey.base.errors import DataError, UsageError
from tools import docs_tables as tables
from tools import evaluation


@pytest.fixture
def checkout(tmp_path):
    """A copy of the documents and figures."""
    (tmp_path / "docs").mkdir()
    for name in (*tables.DOCUMENTS, tables.RUNS, tables.PUBLISHED, tables.TELEMETRY):
        shutil.copyfile(tables.ROOT / name, tmp_path / name)
    return tmp_path


def test_documents_agree_with_the_figures():
    assert tables.disagreeing(tables.ROOT) == [], "python -m tools.docs_tables writes the tables anew"


def test_every_table_is_used():
    text = "".join((tables.ROOT / name).read_text() for name in tables.DOCUMENTS)
    for name in tables.TABLES:
        assert f"<!-- table: {name} -->" in text


def test_a_changed_figure_is_noticed_and_written(checkout):
    runs = json.loads((checkout / tables.RUNS).read_text())
    row = next(row for row in runs["validation"]["rows"] if row["codec"] == "spikey balanced")
    row["ratio"] = 3.9876
    (checkout / tables.RUNS).write_text(json.dumps(runs))
    check = [sys.executable, "-m", "tools.docs_tables", "--root", str(checkout)]
    done = subprocess.run([*check, "--check"], capture_output=True, text=True)
    assert done.returncode == 1 and "README.md, docs/results.md disagree" in done.stderr
    assert subprocess.run(check).returncode == 0
    assert "**3.9876**" in (checkout / "README.md").read_text()
    assert subprocess.run([*check, "--check"]).returncode == 0


def test_a_changed_document_is_noticed(checkout):
    path = checkout / "docs/results.md"
    path.write_text(path.read_text().replace("| spikey `balanced` |", "| spikey `balanced`! |", 1))
    assert tables.disagreeing(checkout) == ["docs/results.md"]


def test_tables_that_cannot_be_made_are_refused(checkout):
    path = checkout / "README.md"
    whole = path.read_text()
    path.write_text(whole.replace("table: results", "table: result"))
    with pytest.raises(UsageError, match="'result'; there are results"):
        tables.disagreeing(checkout)
    path.write_text(whole.replace("<!-- end -->", ""))
    with pytest.raises(DataError, match="does not end"):
        tables.disagreeing(checkout)
    path.write_text(whole)
    (checkout / tables.RUNS).write_text("{}")
    with pytest.raises(UsageError, match="--take"):
        tables.disagreeing(checkout)


def test_only_answers_of_bench_are_taken(checkout):
    path = checkout / "bench.json"
    for text in ("", "[]", '{"rows": [{}]}'):
        path.write_text(text)
        with pytest.raises(DataError, match=r"bench\.json"):
            tables.take(checkout, "validation", path)


def test_telemetry_has_a_file_of_its_own(checkout):
    path = checkout / "report.json"
    for text in ("[]", '{"recordings": {}}', '{"recordings": 3}'):
        path.write_text(text)
        with pytest.raises(DataError, match=r"report\.json"):
            tables.take(checkout, "telemetry", path)
    report = json.loads((checkout / tables.TELEMETRY).read_text())
    facts = report["recordings"]["ratios"]
    facts[0]["wave_error"] = 0.123456789
    path.write_text(json.dumps(report))
    tables.take(checkout, "telemetry", path)
    assert json.loads((checkout / tables.TELEMETRY).read_text())["recordings"]["ratios"][0]["wave_error"] == 0.12346
    assert tables.disagreeing(checkout) == ["docs/telemetry.md"]
    assert tables.disagreeing(checkout, write=True) and "12.35%" in (checkout / "docs/telemetry.md").read_text()


def test_timing_is_replaced_by_that_of_a_quieter_run(checkout):
    path = checkout / "timing.json"
    report = json.loads((checkout / tables.TELEMETRY).read_text())
    facts = report["recordings"]["ratios"][0]
    before = dict(facts)
    facts |= {"event_ms_p99": 0.5, "encode_s": 0.25, "wave_error": 0.5}
    path.write_text(json.dumps(report))
    tables.take(checkout, "telemetry-timing", path)
    found = json.loads((checkout / tables.TELEMETRY).read_text())["recordings"]["ratios"][0]
    assert found == before | {"event_ms_p99": 0.5, "encode_s": 0.25}
    facts["bits"]["events"] *= 2
    path.write_text(json.dumps(report))
    with pytest.raises(DataError, match="of another version"):
        tables.take(checkout, "telemetry-timing", path)


def test_the_honest_ratio_counts_the_code_that_there_is():
    run = json.loads((tables.ROOT / tables.RUNS).read_text())["challenge"]
    stored, now = (sum(sizes.values()) for sizes in (run["counted"], evaluation.counted(tables.ROOT)))
    remedy = "measure again: ./eval.sh data > eval.txt; python -m tools.docs_tables --take challenge eval.txt"
    assert abs(now / stored - 1) < 0.05, remedy


def test_an_evaluation_is_taken(checkout):
    (checkout / "src" / "spikey").mkdir(parents=True)
    sizes = {"encode": 10, "decode": 20, "cli.py": 30, "src/spikey/a.npz": 500, "src/spikey/a.pyc": 9}
    for name, size in sizes.items():
        (checkout / name).write_bytes(bytes(size))
    text = """restored 1,200 files, 4,000 bytes as 1,000: ratio 4.0000
all recordings recovered: 4000 bytes as 1000
ratio by the rules of the challenge (recordings and the two executables, 30 bytes): 3.8835
honest ratio (recordings, all code, tables and models, 560 bytes): 2.5641
ratio of the recordings alone: 4.0000
"""
    (checkout / "eval.txt").write_text(text)
    tables.take(checkout, "challenge", checkout / "eval.txt")
    assert tables.disagreeing(checkout, write=True) == ["docs/results.md"]
    written = (checkout / "docs/results.md").read_text()
    assert "the 1,200 recordings, 4,000 bytes | 1,000 | 4.0000 |" in written
    assert "the honest ratio | 560 | 2.5641 |" in written and "of which tables | 500 |" in written
    for wrong, message in ((text.replace("560", "561"), "other code than this"), ("nothing", "is not what")):
        (checkout / "eval.txt").write_text(wrong)
        with pytest.raises(DataError, match=message):
            tables.take(checkout, "challenge", checkout / "eval.txt")
