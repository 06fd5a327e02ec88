"""No command replaces a file unasked, whatever stands where it would write."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer

import spikey
from kit.commands import process, wav
from kit.paths import ROOT
from spikey.cli import app

QUICK = ("--preset", "fast")


def commands() -> dict[str, object]:
    """Every command of the application by its words."""
    found: dict[str, object] = {}

    def walk(group: object, words: tuple[str, ...]) -> None:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                walk(command, (*words, name))
            else:
                found[" ".join((*words, name))] = command

    walk(typer.main.get_command(app), ())
    return found


# How each command is called so that it writes, with {a}: a recording, {p}: the compressed one, {g}: one without an
# index, {t}: telemetry, {l}: a lossy file, {d}: a folder of recordings, {o}: an output that exists; None: it writes no
# file.
CALLS: dict[str, list[str] | None] = {
    "compress": ["{a}", "{o}.spky"],
    "decompress": ["{p}", "{o}.wav"],
    "convert": ["{p}", "{o}.spky"],
    "watch": None,  # outputs of existing names: tests/cli/test_watch.py
    "mount": None,  # folders that are not empty: tests/integrations/test_mount.py
    "info": None,
    "verify": None,
    "repair": ["{g}", "--output", "{o}.spky"],
    "topology": ["{d}", "--picture", "{o}.png"],
    "train": None,  # models and checkpoints: tests/training/test_training.py
    "models": None,
    "calibrate": ["{a}", "{o}.safetensors"],
    "simulate": ["{o}.wav", "--seconds", "0.1"],
    "bench": ["{a}", "--no-peers", "--no-floor", "--preset", "fast", "--html", "{o}.html"],
    "budget": ["--picture", "{o}.png"],
    "doctor": None,
    "demo": None,  # in a folder of its own, which it replaces: tests/report/test_bench.py
    "stream send": None,
    "stream receive": ["udp://127.0.0.1:0", "{o}.spky"],
    "stream bench": None,
    "key new": None,  # a file that exists: tests/stream/test_keys.py
    "telemetry encode": ["{a}", "{o}.spkt"],
    "telemetry decode": ["{t}", "{o}.csv"],
    "telemetry report": None,
    "telemetry send": None,
    "telemetry receive": ["udp://127.0.0.1:0", "{o}.spkt"],
    "telemetry near-lossless": ["{a}", "{o}.spky", "--error", "1"],
    "telemetry hybrid": ["{a}", "{o}.spky", "--bits", "4", "--correction", "{o}.fix.spky"],
    "telemetry restore": ["{l}", "{o}.wav"],
}
REPORTS = {".png", ".html", ".csv.report"}  # which are replaced


def test_every_command_is_covered():
    assert set(commands()) == set(CALLS)


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    """A folder with one of each kind of input."""
    folder = tmp_path_factory.mktemp("material")
    (folder / "d").mkdir()
    (folder / "a.wav").write_bytes(wav(19_531))
    for n in (1, 2):
        (folder / "d" / f"{n}.wav").write_bytes(wav(600, seed=n))
    process("-m", "spikey", "compress", folder / "a.wav", folder / "p.spky", *QUICK)
    process("-m", "spikey", "telemetry", "encode", folder / "a.wav", folder / "t.spkt")
    process("-m", "spikey", "telemetry", "near-lossless", folder / "a.wav", folder / "l.spky", "--error", "1")
    with spikey.create(folder / "g.spky", 1, 20_000) as writer:
        writer.append(np.arange(1000, dtype="int16"))
    (folder / "g.spky").write_bytes((folder / "g.spky").read_bytes()[:-1])
    return folder


def filled(call: list[str], folder: Path) -> list[str]:
    places = {"a": folder / "a.wav", "p": folder / "p.spky", "t": folder / "t.spkt", "l": folder / "l.spky"}
    places["g"] = folder / "g.spky"
    return [text.format(**places, d=folder / "d", o=folder / "existing") for text in call]


@pytest.mark.parametrize("how", ["existing", "link", "hard link"])
@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call is not None])
def test_no_command_replaces_a_file_unasked(name, how, material, tmp_path, run):
    """Whatever stands where a command would write: another file, a link to an input, a second name of an input."""
    folder = tmp_path / "m"
    shutil.copytree(material, folder)
    call = filled(CALLS[name], folder)
    outputs = [Path(text) for text in call if Path(text).name.startswith("existing")]
    for path in outputs:
        if how == "existing":
            path.write_bytes(wav(50) if path.suffix == ".wav" else b"precious")
        elif how == "link":
            path.symlink_to(folder / "a.wav")
        else:
            os.link(folder / "a.wav", path)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    status, _, err = run(*name.split(), *call)
    assert "Traceback" not in err
    report = how == "existing" and outputs[0].suffix in REPORTS
    assert (status == 0) == report, (status, err)
    for path, data in before.items():
        assert path.read_bytes() == data or (report and path in outputs), path
    assert {path for path in folder.rglob("*") if path.is_file()} == set(before)
    force = any("--force" in option.opts for option in commands()[name].params)
    assert force or outputs[0].suffix in REPORTS, f"{name} has no --force"
    if force and how != "existing" and not name.endswith("receive"):  # an input is never replaced
        reads_it = any(text == str(folder / "a.wav") for text in call)
        if reads_it:
            assert run(*name.split(), *call, "--force")[0] == 2
            assert (folder / "a.wav").read_bytes() == before[folder / "a.wav"]


def test_documented_outputs_are_replaced_but_never_an_input_or_a_folder(tmp_path):
    content = wav(300)
    (tmp_path / "a.wav").write_bytes(content)
    (tmp_path / "link.bin").symlink_to("a.wav")
    os.link(tmp_path / "a.wav", tmp_path / "second.bin")
    (tmp_path / "folder").mkdir()
    cli = [ROOT / "cli.py", "compress", *QUICK, "--input_file", "a.wav", "--output_file"]
    for _ in range(2):
        process(*cli, "a.bin", cwd=tmp_path)
        process(ROOT / "cli.py", "decompress", "--input_file", "a.bin", "--output_file", "b.wav", cwd=tmp_path)
    assert (tmp_path / "b.wav").read_bytes() == content
    for output in ("a.wav", "./a.wav", "link.bin", "second.bin", "folder"):
        process(*cli, output, cwd=tmp_path, status=2)
    assert (tmp_path / "a.wav").read_bytes() == content and (tmp_path / "link.bin").is_symlink()
    process(ROOT / "cli.py", "decompress", "--input_file", "a.bin", "--output_file", "a.bin", cwd=tmp_path, status=2)
