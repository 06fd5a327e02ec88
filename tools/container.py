"""SpikeInterface's sorters in containers on compressed recordings, tried without Docker: `python -m tools.container`.

A new virtual environment stands for the container's image. It has SpikeInterface and what the sorter needs, sees
nothing of the checkout, and gets Spikey as docs/containers.md describes: the wheel, through `extra_requirements`. What
SpikeInterface would have Docker run, it runs; the spikes must be those of the raw recording, sorted here, but for the
few that differ from run to run, as the sorter estimates noise from random stretches. `--borrow` takes SpikeInterface
from the environment that runs this, without downloading anything.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pickle
import shlex
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from spikey.base.errors import SpikeyError

ROOT = Path(__file__).parents[1]
SORTER, NEEDS = "simple", ("scikit-learn", "hdbscan")  # one of SpikeInterface's own, and what it needs
PARAMETERS: dict[str, Any] = {"seed": 1}
SECONDS, CHANNELS = 12.0, 8
SAME = 0.98  # of the spikes: two runs on one recording differ as much
READ = """
import hashlib, json, sys
from spikeinterface.core import load
found = []
for path in sys.argv[1:]:
    recording = load(path)
    samples = hashlib.sha256(recording.get_traces().tobytes()).hexdigest()
    positions = recording.get_channel_locations().tolist()
    found.append([samples, recording.get_channel_gains().tolist(), positions, recording.channel_ids.tolist()])
import spikey
print(json.dumps({"recordings": found, "package": spikey.__file__}))
"""


def make_wheel(folder: Path) -> Path:
    """The package as one file."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


class Bare:
    """A virtual environment without Spikey, in the place of a container; `run_command` as SpikeInterface calls it."""

    def __init__(self, folder: Path, borrow: bool):
        self.folder = folder
        venv.create(folder, with_pip=True)
        self.commands: list[list[str]] = []
        kept = ("PATH", "HOME", "LANG", "TMPDIR")
        self._environment = {name: os.environ[name] for name in kept if name in os.environ}
        if borrow:
            self._environment |= {"PYTHONPATH": str(_borrowed(folder / "borrowed")), "PIP_NO_INDEX": "1"}
        else:
            self.run_command(["pip", "install", "-q", f"spikeinterface=={version('spikeinterface')}", *NEEDS])

    def start(self) -> None:
        """Nothing is to be started."""

    def stop(self) -> None:
        """Nothing is to be stopped."""

    def run_command(self, command: str | list[str]) -> str:
        """Run what is meant for the container; its output. Failures are only shown: SpikeInterface sees none either."""
        words = shlex.split(command) if isinstance(command, str) else list(command)
        self.commands.append(words)
        if words[0] == "pip":  # a virtual environment has no packages of the user's
            words = ["python", "-m", *(word for word in words if word != "--user")]
        if words[0] != "python":
            return ""
        program = str(self.folder / "bin" / "python")
        done = subprocess.run(
            [program, *words[1:]], cwd=self.folder, env=self._environment, capture_output=True, text=True
        )
        if done.returncode:
            sys.stderr.write(done.stderr)
        return done.stdout + done.stderr


def _borrowed(folder: Path) -> Path:
    """All packages of this environment but Spikey, by links."""
    folder.mkdir()
    for path in Path(np.__file__).parents[1].iterdir():
        if not path.name.lower().startswith(("spikey", "__editable__")):
            (folder / path.name).symlink_to(path)
    return folder


def recordings(folder: Path) -> tuple[Any, Any]:
    """A generated recording, and the compressed one."""
    from spikeinterface.core import generate_ground_truth_recording

    from spikey.integrations.spikeinterface import read_spikey, write_spikey

    generated, _ = generate_ground_truth_recording(durations=[SECONDS], num_channels=CHANNELS, num_units=4, seed=1)
    raw = generated.astype("int16").save(folder=folder / "raw", progress_bar=False, verbose=False)
    raw.set_property("gain_to_uV", np.full(CHANNELS, 1.0))
    raw.set_property("offset_to_uV", np.zeros(CHANNELS))
    (folder / "packed").mkdir()
    return raw, read_spikey(write_spikey(raw, folder / "packed" / "a.spky"))


def check_reading(bare: Any, recording: Any, folder: Path) -> None:
    """The compressed recording is loaded from a JSON and from a pickle file; SpikeyError where it is another one."""
    recording.dump(folder / "a.json")
    recording.dump(folder / "a.pkl")
    (folder / "b.pkl").write_bytes(pickle.dumps(recording.to_dict(recursive=True)))  # as for containers
    paths = [str(folder / name) for name in ("a.json", "a.pkl", "b.pkl")]
    answer = bare.run_command(["python", "-c", READ, *paths])
    found = json.loads(answer.splitlines()[-1])
    samples = hashlib.sha256(recording.get_traces().tobytes()).hexdigest()
    gains, positions = recording.get_channel_gains().tolist(), recording.get_channel_locations().tolist()
    wanted = [samples, gains, positions, recording.channel_ids.tolist()]
    for path, one in zip(paths, found["recordings"], strict=True):
        if one != wanted:
            raise SpikeyError(f"{path}: is read as another recording in the bare environment")
    if not found["package"].startswith(str(bare.folder)):
        raise SpikeyError(f"{found['package']}: is not what was installed in the bare environment")


def sorted_in_container(bare: Any, recording: Any, wheel: Path, folder: Path) -> Any:
    """Have SpikeInterface sort in a container, for which `bare` stands."""
    from spikeinterface.sorters import runsorter

    original = runsorter.ContainerClient
    runsorter.ContainerClient = lambda *_: bare
    try:
        return runsorter.run_sorter_container(  # as `run_sorter(..., docker_image=...)` does where Docker is there
            SORTER,
            recording,
            "docker",
            container_image="stand-in",
            folder=folder,
            extra_requirements=[str(wheel)],
            installation_mode="pypi",  # SpikeInterface 0.105.3 fails with "no-install" and extra requirements
            **PARAMETERS,
        )
    finally:
        runsorter.ContainerClient = original


def main(arguments: list[str] | None = None) -> None:
    """Try it, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--borrow", action="store_true", help="SpikeInterface of this environment; no network")
    parser.add_argument("--read-only", action="store_true", help="do not sort")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        (folder / "wheel").mkdir()
        wheel = make_wheel(folder / "wheel")
        bare = Bare(folder / "environment", options.borrow)
        raw, recording = recordings(folder)
        if options.read_only:
            bare.run_command(f"pip install --user --upgrade --no-input --no-build-isolation {wheel}")
            check_reading(bare, recording, folder)
            print("the bare environment reads the same recording from JSON and from pickle files")
            return
        from spikeinterface.sorters import run_sorter

        found = sorted_in_container(bare, recording, wheel, folder / "container")
        check_reading(bare, recording, folder)
        wanted = run_sorter(SORTER, raw, folder=folder / "here", **PARAMETERS)
        ours, theirs = (set(each.to_spike_vector()["sample_index"].tolist()) for each in (found, wanted))
        counts = f"{len(ours):,} spikes in the bare environment, {len(theirs):,} here, {len(ours & theirs):,} of both"
        if not theirs or len(ours & theirs) < SAME * max(len(ours), len(theirs)):
            raise SpikeyError(f"{SORTER} finds something else in the compressed recording: {counts}")
        print(f"{SORTER}: {counts}")


if __name__ == "__main__":
    main()
