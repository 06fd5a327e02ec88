"""`spikey bench`: other codecs beside Spikey, its report, and what it does with what is no recording."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kit.interpolated import half_band, interpolated, sampled
from spikey.base.errors import DataError, SpikeyError, UsageError
from spikey.cli import app
from spikey.cli.bench import _say
from spikey.recording.layout import Layout
from spikey.recording.wav import canonical_head
from spikey.report.bench import recommendation
from spikey.report.bench.measure import Codec, Result, measure, peer_codec
from spikey.report.bench.peers import known
from spikey.report.bench.peers.contract import DoesNotApply
from spikey.report.bench.ranking import frontier, notes, ranked, sentence
from spikey.report.bench.recommendation import ARCHIVE_HOURS, RECORDING_HOURS, SORTING_HOURS, TERABYTE, recommended
from spikey.report.bench.recordings import load
from spikey.report.bench.worker import Order, measure_apart

runner = CliRunner()
QUICK = ["--preset", "fast", "--repeats", "1"]


def bench(*arguments: object):
    return runner.invoke(app, ["bench", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two simulated recordings of half a second each."""
    path = tmp_path_factory.mktemp("recordings")
    for seed in (1, 2):
        done = runner.invoke(app, ["simulate", str(path / f"{seed}.wav"), "--seconds", "0.5", "--seed", str(seed)])
        assert done.exit_code == 0, done.output
    return path


@pytest.fixture(scope="module")
def answered(folder, tmp_path_factory):
    """One run with everything that can be written."""
    out = tmp_path_factory.mktemp("out")
    peers = "gzip, bzip2 -9 codes"
    done = bench(folder, *QUICK, "--peers", peers, "--html", out / "a.html", "--csv", out / "a.csv", "--json")
    assert done.exit_code == 0 and "note: no recording is longer than 0.5 s" in done.stderr, done.output
    return out, json.loads(done.stdout)


def test_peers_stand_beside_spikey(folder, answered):
    _, answer = answered
    rows = {row["codec"]: row for row in answer["rows"]}
    assert {"spikey fast", "gzip -9, file", "bzip2 -9, codes"} <= set(rows)
    total = sum(file.stat().st_size for file in folder.glob("*.wav"))
    for row in rows.values():
        assert row["recordings"] == 2 and row["original"] == total and not row["failed"]
        assert row["ratio"] == pytest.approx(total / row["compressed"]) and row["encode_ms_s"] > 0
        if sys.platform == "linux":
            assert 0 <= row["memory"] < 1e9
    import gzip

    sizes = [len(gzip.compress(file.read_bytes(), 9, mtime=0)) for file in sorted(folder.glob("*.wav"))]
    assert rows["gzip -9, file"]["sizes"] == sizes
    assert 0.95 * rows["spikey fast"]["bits_per_sample"] < answer["floor"]["bits_per_sample"]
    assert answer["floor"]["bits_per_sample"] < rows["spikey fast"]["bits_per_sample"]


def test_report_needs_nothing_else_and_answers_first(answered):
    out, answer = answered
    text = (out / "a.html").read_text()
    assert "://" not in text and "<script" not in text and "<link" not in text
    sources = re.findall(r'src="([^"]{30})', text)
    assert len(sources) == 5 and all(source.startswith("data:image/png;base64,iVBOR") for source in sources)
    first = re.sub(r"<[^>]+>", "", text.split("</style>")[1]).strip().split("\n")[0]
    assert first.startswith(f"For these recordings use {answer['recommended']['recording']['codec']} for recording (")
    for row in answer["rows"]:
        assert f"<td>{row['codec']}</td>" in text


def test_table_for_spreadsheets(answered):
    out, answer = answered
    with (out / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["codec"] for row in rows[:-1]] == [row["codec"] for row in answer["rows"]]
    assert rows[-1]["codec"] == "estimate of the noise floor"
    assert float(rows[0]["ratio"]) == pytest.approx(answer["rows"][0]["ratio"])


def test_raw_and_compressed_recordings(folder, tmp_path):
    samples = load(folder / "1.wav").samples
    for name in ("a.dat", "b.bin"):
        samples.astype("<i2").tofile(tmp_path / name)
    (tmp_path / "c.txt").write_text("no recording")
    raw = ["--channels", 1, "--rate", 19531, "--dtype", "int16"]
    done = bench(tmp_path, *raw, *QUICK, "--peers", "gzip", "--seconds", 0.25, "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["recordings"] == 2 and answer["cut"] == 2 and answer["samples"] == 2 * round(0.25 * 19531)
    packed = tmp_path / "packed"
    runner.invoke(app, ["compress", str(folder), str(packed), "--preset", "fast"])
    done = bench(packed, *QUICK, "--no-peers", "--no-floor", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["original"] == sum(file.stat().st_size for file in folder.glob("*.wav"))
    assert answer["rows"][0]["compressed"] == sum(file.stat().st_size for file in packed.rglob("*.spky"))
    assert answer["floor"] is None


def test_what_is_no_recording_is_left_out(folder, tmp_path):
    shutil.copyfile(folder / "1.wav", tmp_path / "good.wav")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("These are notes.\n" * 99)
    head = (folder / "1.wav").read_bytes()[:44]
    (tmp_path / "none.wav").write_bytes(head[:40] + bytes(4))
    (tmp_path / "folder.wav").mkdir()
    done = bench(tmp_path, *QUICK, "--peers", "gzip", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["recordings"] == 1 and answer["left_out"] == 3
    assert all(f"note: left out: {tmp_path / name}" in done.stderr for name in ("empty.wav", "text.wav", "none.wav"))
    (tmp_path / "good.wav").unlink()
    assert isinstance(bench(tmp_path, *QUICK).exception, DataError)


def test_calls_that_mean_nothing_are_refused(folder, tmp_path):
    for arguments in (
        [tmp_path],
        [folder, "--peers", "gzpi"],
        [folder, "--channels", 1],
        [folder, "--seconds", 0],
        [folder, "--together", 2],
    ):
        assert isinstance(bench(*arguments).exception, UsageError), arguments
    assert isinstance(bench(tmp_path / "no.wav").exception, DataError)


def test_programs_that_are_missing_are_named(folder, monkeypatch):
    monkeypatch.setenv("PATH", "")
    done = bench(folder / "1.wav", *QUICK, "--peers", "monkey, gzip", "--no-floor")
    assert done.exit_code == 0 and "note: mac: no such program was found" in done.stderr


def corrupting(how) -> Codec:
    good = peer_codec(known()["gzip -9, file"])
    return replace(good, decode=lambda data, shape: how(good.decode(data, shape)))


def test_peers_that_lose_samples_or_fail_are_reported(folder, capsys):
    def fail(data: bytes) -> bytes:
        raise ValueError("no such\nthing")

    def refuse(recording) -> bytes:
        raise DoesNotApply("only for others")

    chosen = {
        "flips": corrupting(lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        "cuts": corrupting(lambda data: data[:-2]),
        "fails": corrupting(fail),
        "refuses": Codec(refuse, lambda data, shape: b"", "codes"),
        "holds": corrupting(lambda data: data),
    }
    results = {result.codec: result for result in measure(sorted(folder.glob("*.wav")), chosen, 1)}
    for name in ("flips", "cuts"):
        assert notes(results[name]) == "FAILED on 2: what it decodes is not what it was given"
    assert notes(results["fails"]) == "FAILED on 2: ValueError: no such thing"
    assert notes(results["refuses"]) == "not for 2: only for others"
    assert results["holds"].complete and results["holds"].recordings == 2
    assert all(not results[name].recordings and results[name].sizes == [None, None] for name in list(chosen)[:4])
    _say({"recordings": 2, "original": 1, "repeats": 1}, list(results.values()), None, False)
    said = capsys.readouterr().out.split("\n")
    assert said[2].startswith("holds") and any(line.startswith("flips") and "FAILED on 2" in line for line in said)
    assert "holds makes the smallest files" in said[-2]


def test_spikey_that_loses_samples_is_an_error(folder):
    bad = replace(corrupting(lambda data: data[:-1]), given="")
    with pytest.raises(DataError, match="please report"):
        measure([folder / "1.wav"], {"spikey bad": bad}, 1)


def test_a_process_that_dies_takes_nothing_along(folder):
    files = sorted(folder.glob("*.wav"))
    dead, alive = measure_apart(files, [Order("there is no such peer", "codes"), Order("gzip -9, file", "file")], 1)
    assert dead.failed == {"its process ended with status 1": 2} and dead.sizes == [None, None]
    assert alive.complete
    with pytest.raises(SpikeyError, match="there is no preset 'best'"):
        measure_apart(files, [Order("spikey best", preset="best")], 1)


def test_an_interrupted_run_leaves_nothing(folder, tmp_path):
    for seed in range(40):
        shutil.copyfile(folder / "1.wav", tmp_path / f"{seed}.wav")
    passing = tmp_path / "passing"
    passing.mkdir()
    out = tmp_path / "out.html"
    assert bench(folder, *QUICK, "--no-peers", "--no-floor").exit_code == 0  # so that nothing is compiled later
    command = [sys.executable, "-m", "spikey", "bench", tmp_path, "--peers", "brotli, xz", "--html", out, *QUICK]
    process = subprocess.Popen(
        [str(word) for word in command],
        env={**os.environ, "TMPDIR": str(passing)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not any(passing.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said.strip().endswith("spikey: interrupted; no unfinished output was kept")
    assert "Traceback" not in said
    assert not any(passing.iterdir()) and not out.exists()


def result(name: str, compressed: int, seconds: float, given: str = "codes") -> Result:
    return Result(name, 1, 4000, compressed, 2000, seconds, seconds, [compressed], given)


def test_answer_names_the_smallest_and_the_fastest_near_it():
    slow, quick, far = result("slow", 1000, 9), result("quick", 1015, 1), result("far", 2000, 0.1)
    broken = result("broken", 10, 0.01)
    broken.failed = {"lost": 1}
    results = [broken, far, slow, quick]
    assert [each.codec for each in ranked(results)] == ["slow", "quick", "far", "broken"]
    assert frontier(results, "encode_seconds") == [slow, quick, far]
    text = sentence(results, {"floor": {"bits_per_sample": 3.2}})
    assert text.startswith("slow makes the smallest files (ratio 4.0000")
    assert "quick is the fastest within 2 %" in text and "25.0 % above the estimate" in text
    assert sentence([broken], {}) == ""


def result_of(codec: str, ratio: float, encode: float, decode: float) -> Result:
    """Encode and decode: hours a terabyte."""
    scale = 3600 / TERABYTE * 1e9
    return Result(codec, 1, 10**9, round(10**9 / ratio), 5 * 10**8, encode * scale, decode * scale, [1])


def test_the_recommendation_is_the_smallest_that_is_fast_enough():
    facts = {"kinds": [{"channels": 384, "rate": 30_000, "dtype": "int16"}]}
    results = [
        result_of("tiny", 3.0, ARCHIVE_HOURS * 2, 50),
        result_of("small", 2.9, ARCHIVE_HOURS * 0.9, 30),
        result_of("middle", 2.8, RECORDING_HOURS * 0.9, SORTING_HOURS * 1.1),
        result_of("large", 2.5, 2, SORTING_HOURS * 0.9),
    ]
    found = recommended(results, facts)
    assert [one.codec for one in found] == ["large", "small", "large"]  # middle: not twice as fast as 384 channels
    assert [one.codec for one in recommended(results, {"kinds": []})] == ["middle", "small", "large"]
    text = recommendation.sentence(found)
    assert text.startswith("For these recordings use large for recording (400 GB, 2.0 hours to encode), small for the")
    assert "large for sorting (400 GB, 3.6 hours to decode)" in text
    slow = recommended(results[:1], facts)
    assert all(one.slow for one in slow) and "none is fast enough" in recommendation.sentence(slow)
    assert slow[2].facts() == {
        "codec": "tiny", "gigabytes": 333.3, "hours": 50.0, "verb": "decode", "fast_enough": False,
    }  # fmt: skip
    assert "no codec" in recommendation.sentence(recommended([], facts))


def test_several_channels_and_types(tmp_path):
    noise = np.random.default_rng(1).normal(0, 9, (5000, 3)).round()
    for name, kind in (("a.raw", "<u2"), ("b.raw", "<u2")):
        (noise + 30_000).astype(kind).tofile(tmp_path / name)
    raw = ["--channels", 3, "--rate", 30000, "--dtype", "uint16"]
    done = bench(
        tmp_path, *raw, *QUICK, "--peers", "pcodec level 8 codes, zstd -3 delta8, lz4", "--html", tmp_path / "a.html"
    )
    assert done.exit_code == 0, done.output
    assert "FAILED" not in done.output and (tmp_path / "a.html").exists()


def test_interpolated_recordings_are_counted(folder, tmp_path):
    samples = interpolated(sampled(3000, 1), half_band())[:, 0].astype("<i2")
    (tmp_path / "a.wav").write_bytes(canonical_head(Layout(1, 20_000, "int16"), len(samples)) + samples.tobytes())
    (tmp_path / "b.wav").write_bytes((folder / "1.wav").read_bytes())
    out = tmp_path / "a.html"
    done = bench(tmp_path, *QUICK, "--no-floor", "--peers", "gzip", "--html", out)
    line = "interpolated from frames sampled at a fraction of the rate: 1 recording by 2"
    assert done.exit_code == 0 and line in done.stdout and line in out.read_text()
    assert json.loads(bench(folder, *QUICK, "--no-floor", "--no-peers", "--json").stdout)["interpolated"] == {}
