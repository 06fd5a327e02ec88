"""The tables of README.md and docs/results.md, written from what `spikey bench --json` said: nothing is copied by hand.

    spikey bench data --every 5 --peers all --json > bench.json
    python -m tools.docs_tables --take validation bench.json     # keeps the figures in docs/results.json
    spikey telemetry report data --every 5 --channels 1024 --simulated --json > telemetry.json
    python -m tools.docs_tables --take telemetry telemetry.json  # in docs/telemetry.json
    spikey telemetry report data --every 5 --channels 1024 --simulated --no-sort --json > timing.json
    python -m tools.docs_tables --take telemetry-timing timing.json   # on a quiet machine: speeds and latencies alone
    ./eval.sh data > eval.txt
    python -m tools.docs_tables --take challenge eval.txt        # in docs/results.json
    python -m tools.stores --json stores.json
    python -m tools.docs_tables --take stores stores.json        # in docs/results.json
    python -m tools.docs_tables                                  # writes the tables
    python -m tools.docs_tables --check                          # says which do not agree, exit status 1

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. Figures of codecs that cannot be run here come from
docs/published.json and are starred.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spikey.base.errors import DataError, SpikeyError, UsageError
from spikey.recording.output import report_output
from tools import device_bench, evaluation, preset_tables, size_tables, store_tables, vendor_tables

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    "README.md",
    "docs/results.md",
    "docs/telemetry.md",
    "docs/calibration.md",
    "docs/recordings.md",
    "docs/presets.md",
)
RUNS, PUBLISHED, TELEMETRY = "docs/results.json", "docs/published.json", "docs/telemetry.json"
KEPT = {"ratio": 4, "bits_per_sample": 4, "encode_ms_s": 2, "decode_ms_s": 2}  # and decimals
GIVEN = {
    "file": "the file as it is",
    "delta8": "on one-byte differences",
    "corrected": "on corrected samples",
    "corrected and ordered": "on corrected samples, channels ordered",
}
_TABLE = re.compile(r"(<!-- table: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
Row = dict[str, Any]


def reduced(answer: dict[str, Any]) -> dict[str, Any]:
    """What is kept of an answer of `spikey bench --json`: the rows and how they came about, no recording's bytes."""
    if not isinstance(answer, dict) or not isinstance(answer.get("rows"), list):
        raise DataError("is not what `spikey bench --json` says")
    kept = ("command", "processor", "versions", "recordings", "original", "samples", "repeats")
    found: dict[str, Any] = {name: answer[name] for name in kept}
    names = ("codec", "given", "recordings", "original", "compressed", "memory", "skipped", "failed")
    found["rows"] = [
        {name: row[name] for name in names} | {name: round(row[name], digits) for name, digits in KEPT.items()}
        for row in answer["rows"]
    ]
    if floor := answer.get("floor"):
        found["floor"] = {name: round(floor[name], 4) for name in ("ratio", "bits_per_sample")}
    return found


def reduced_report(answer: dict[str, Any]) -> dict[str, Any]:
    """What is kept of an answer of `spikey telemetry report --json`: everything, to four or five digits."""

    def short(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: short(each) for key, each in value.items()}
        if isinstance(value, list):
            return [short(each) for each in value]
        return float(f"{value:.5g}") if isinstance(value, float) else value

    if not isinstance(answer, dict) or not all(isinstance(each, dict) and "ratios" in each for each in answer.values()):
        raise DataError("is not what `spikey telemetry report --json` says")
    return dict(short(answer))


def retimed(report: dict[str, Any], timing: dict[str, Any]) -> dict[str, Any]:
    """A telemetry report with the speeds and latencies of another one of the same recordings and ratios."""
    for name, run in report.items():
        others = {facts["ratio"]: facts for facts in timing[name]["ratios"]}
        for facts in run["ratios"]:
            other = others[facts["ratio"]]
            if facts["bits"] != other["bits"]:
                raise DataError("has other packets than docs/telemetry.json, so it is of another version")
            facts |= {key: value for key, value in other.items() if "_ms_" in key or key in ("encode_s", "decode_s")}
    return report


def take(root: Path, name: str, path: Path) -> None:
    """Keep a run under a name in docs/results.json. DataError for a file that is no answer of `spikey bench --json`.

    The run `telemetry` is an answer of `spikey telemetry report --json`, and has a file of its own; the run `challenge`
    is what `eval.sh` prints.
    """
    try:
        text = path.read_text()
        if name == "telemetry":
            _write(root / TELEMETRY, json.dumps(reduced_report(json.loads(text)), indent=1) + "\n")
            return
        if name == "telemetry-timing":
            kept = json.loads((root / TELEMETRY).read_text())
            found = retimed(kept, reduced_report(json.loads(text)))
            _write(root / TELEMETRY, json.dumps(found, indent=1) + "\n")
            return
        if name == "challenge":
            run = evaluation.parsed(text, root)
        elif name == "stores":
            run = store_tables.reduced(json.loads(text))
        else:
            run = reduced(json.loads(text))
    except (OSError, ValueError, KeyError, SpikeyError) as error:
        raise DataError(f"{path}: {error}") from None
    file = root / RUNS
    runs = json.loads(file.read_text()) if file.exists() else {}
    runs[name] = run
    _write(file, json.dumps(dict(sorted(runs.items())), indent=1) + "\n")


def rendered(text: str, runs: dict[str, Any], published: dict[str, Any], document: str) -> str:
    """A document with its tables filled in. UsageError for a table that is not known or lacks its run."""

    def fill(found: re.Match[str]) -> str:
        maker = TABLES.get(found[2])
        if maker is None:
            raise UsageError(f"{document}: there is no table {found[2]!r}; there are {', '.join(TABLES)}")
        try:
            return found[1] + "\n".join(maker(runs, published)) + "\n" + found[4]
        except KeyError as error:
            raise UsageError(f"{document}: table {found[2]} needs {error} in {RUNS}: take it with --take") from None

    return _TABLE.sub(fill, text)


def disagreeing(root: Path, write: bool = False) -> list[str]:
    """The documents whose tables are not what the figures give; with `write` they are afterwards."""
    runs, published = (json.loads((root / name).read_text()) for name in (RUNS, PUBLISHED))
    runs["telemetry"] = json.loads((root / TELEMETRY).read_text())
    texts = {document: (root / document).read_text() for document in DOCUMENTS}
    for document, text in texts.items():
        if text.count("<!-- table:") != len(_TABLE.findall(text)):
            raise DataError(f"{document}: a table begins that does not end with <!-- end -->")
    wanted = {document: rendered(text, runs, published, document) for document, text in texts.items()}
    found = [document for document in DOCUMENTS if wanted[document] != texts[document]]
    if write:
        for document in found:
            _write(root / document, wanted[document])
    return found


def _write(path: Path, text: str) -> None:
    with report_output(path) as (file, _):
        file.write(text.encode())


def _ours(row: Row) -> bool:
    return not row["given"]


def _by_ratio(rows: list[Row]) -> list[Row]:
    """Those that hold every recording, smallest first."""
    whole = [row for row in rows if not row.get("failed") and not row.get("skipped")]
    return sorted(whole, key=lambda row: -row["ratio"])


def _name(row: Row) -> str:
    """A codec for a table, and what it was given."""
    if _ours(row):
        return f"spikey `{row['codec'].removeprefix('spikey ')}`"
    given = GIVEN.get(row["given"], f"on {row['given']}")
    return f"{row['codec'].removesuffix(', ' + row['given'])}, {given}"


def _speed(value: float | None) -> str:
    """Million samples a second; whole numbers as they are published."""
    if value is None or isinstance(value, int):
        return "-" if value is None else str(value)
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


FEW = 5  # other codecs in the README


def _results(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """The README's: Spikey's presets and the best other codecs; those that cannot be run here are starred."""
    lines = ["| codec | ratio | encode, million samples/s | decode |", "|---|---:|---:|---:|"]
    best: dict[str, tuple[Row, str]] = {}
    rows = [(row, "") for row in runs["validation"]["rows"]]
    rows += [(row, " *") for row in published["rows"] if not row.get("also_measured")]
    for row, mark in sorted(rows, key=lambda each: -float(each[0]["ratio"])):
        kind = row["codec"] if _ours(row) else re.split(r"[ ,-]", row["codec"].lower())[0]
        best.setdefault(kind, (row, mark))
    ours = [each for each in best.values() if _ours(each[0]) and not each[1]]
    others = [each for each in best.values() if each not in ours][:FEW]
    for row, mark in [*ours, *others]:
        ratio = f"{row['ratio']:.3f} *" if mark else f"{row['ratio']:.4f}"
        bold = "**" if _ours(row) and not mark else ""
        speeds = f"{_speed(row['encode_ms_s'])}{mark} | {_speed(row['decode_ms_s'])}{mark}"
        lines.append(f"| {bold}{_name(row)}{bold} | {bold}{ratio}{bold} | {speeds} |")
    return lines


def _all_of(name: str, runs: dict[str, Any]) -> list[str]:
    """Everything of a run, with the noise floor."""
    run = runs[name]
    lines = ["| codec | ratio | bits per sample | encode, million samples/s | decode | memory, MB |"]
    lines.append("|---|---:|---:|---:|---:|---:|")
    if floor := run.get("floor"):
        lines.append(f"| *estimate of the noise floor* | {floor['ratio']:.4f} | {floor['bits_per_sample']:.4f} | | | |")
    lines += [_line(row, memory=True) for row in _by_ratio(run["rows"])]
    for row in run["rows"]:
        if row["failed"] or row["skipped"]:
            what = "; ".join(f"{count}: {reason}" for reason, count in (row["failed"] | row["skipped"]).items())
            lines.append(f"| {_name(row)} | - | - | - | - | not on {what} |")
    return lines


def _machine(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """How each run was made."""
    lines = []
    for name, run in runs.items():
        if "repeats" not in run:  # no run of `spikey bench`
            continue
        versions = ", ".join(f"{package} {version}" for package, version in run["versions"].items())
        lines.append(f"- {name}: `{run['command']}`, best of {run['repeats']}, {run['processor']}; {versions}")
    return lines


def _line(row: Row, memory: bool = False) -> str:
    bold = "**" if _ours(row) else ""
    cells = [f"{bold}{row['ratio']:.4f}{bold}", f"{row['bits_per_sample']:.4f}"]
    cells += [_speed(row["encode_ms_s"]), _speed(row["decode_ms_s"])]
    if memory:
        cells.append("-" if row["memory"] is None else f"{row['memory'] / 1e6:.1f}")
    return f"| {_name(row)} | {' | '.join(cells)} |"


def _models(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """Trained networks and the presets beside them."""
    rows = runs["models"]["rows"]
    lines = ["| model | ratio | bits per sample | encode, million samples/s | decode |", "|---|---:|---:|---:|---:|"]
    return lines + [_line(row) for row in _by_ratio(rows)]


def _published(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """Codecs that cannot be run here, and one that can, to compare by."""
    lines = ["| codec | ratio | encode, million samples/s | decode |", "|---|---:|---:|---:|"]
    for row in _by_ratio(published["rows"]):
        speeds = f"{_speed(row['encode_ms_s'])} | {_speed(row['decode_ms_s'])}"
        lines.append(f"| {_name(row)} | {row['ratio']:.4f} | {speeds} |")
    return lines


def _telemetry_set(name: str, runs: dict[str, Any]) -> list[str]:
    """Everything of one set of recordings, at every ratio."""
    from spikey.report.telemetry.table import table

    cells = table(dict(_sets(runs))[name]["ratios"])
    lines = [f"| {' | '.join(cells[0])} |", "|---|" + "---:|" * (len(cells[0]) - 1)]
    for first, *others in cells[1:]:
        indent = "&nbsp;&nbsp;" if first.startswith(" ") else ""
        lines.append(f"| {indent}{first.strip()} | {' | '.join(others)} |")
    return lines


def _sets(runs: dict[str, Any]) -> list[tuple[str, Any]]:
    """Real recordings first."""
    names = {"recordings": "real", "simulated": "simulated"}
    return [(names[key], run) for key, run in sorted(runs["telemetry"].items())]


TABLES: dict[str, Callable[[dict[str, Any], dict[str, Any]], list[str]]] = {
    "results": _results,
    "validation": lambda runs, published: _all_of("validation", runs),
    "locust": lambda runs, published: _all_of("locust", runs),
    "generated": lambda runs, published: _all_of("generated", runs),
    "machine": _machine,
    "challenge": lambda runs, published: evaluation.table(runs["challenge"]),
    "models": _models,
    "published": _published,
    "telemetry-real": lambda runs, published: _telemetry_set("real", runs),
    "telemetry-simulated": lambda runs, published: _telemetry_set("simulated", runs),
    "presets": preset_tables.presets,
    "fast": size_tables.fast,
    "fast-sizes": size_tables.fast_sizes,
    "devices": lambda runs, published: device_bench.table(runs["devices"]),
    "stores": lambda runs, published: store_tables.full(runs["stores"]),
    "preset-sizes": preset_tables.sizes,
    "preset-speeds": preset_tables.speeds,
    "preset-savings": preset_tables.savings,
    "preset-decoding": preset_tables.decoding,
    "vendors": vendor_tables.vendors,
    "code-widths": size_tables.code_widths,
    "code-widths-crossed": size_tables.code_widths_crossed,
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 where a table disagrees")
    parser.add_argument("--take", nargs=2, metavar=("NAME", "FILE"), help="keep a run's figures first")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    arguments = parser.parse_args()
    try:
        if arguments.take:
            take(arguments.root, arguments.take[0], Path(arguments.take[1]))
            return
        found = disagreeing(arguments.root, write=not arguments.check)
    except SpikeyError as error:
        sys.exit(f"tables: {error}")
    if found and arguments.check:
        sys.exit(f"tables: {', '.join(found)} disagree with {RUNS}; python -m tools.docs_tables writes them")
    print(f"written: {', '.join(found)}" if found else "all tables agree")


if __name__ == "__main__":
    main()
