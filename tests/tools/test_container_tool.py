"""An environment without the checkout loads and reads compressed recordings; docs/containers.md does what it shows."""

from __future__ import annotations

import inspect
import json

import pytest

from kit.pages import blocks
from kit.paths import ROOT
from spikey.base.errors import SpikeyError

pytest.importorskip("spikeinterface")
pytest.importorskip("setuptools", minversion="77")

from spikeinterface.core.core_tools import check_json
from spikeinterface.sorters import container_tools, runsorter

from tools import container

pytestmark = pytest.mark.filterwarnings("ignore")


def test_what_the_container_is_shown_has_the_files(tmp_path):
    _, recording = container.recordings(tmp_path)
    description = recording.to_dict(recursive=True)
    assert recording.check_serializability("json") and json.loads(json.dumps(check_json(description)))
    assert container_tools.find_recording_folders(description) == [tmp_path / "packed"]


@pytest.mark.slow
def test_a_bare_environment_reads_the_same(capsys):
    container.main(["--borrow", "--read-only"])
    assert "reads the same recording" in capsys.readouterr().out


@pytest.mark.slow
def test_without_spikey_it_does_not(tmp_path):
    bare = container.Bare(tmp_path / "environment", borrow=True)
    assert "ModuleNotFoundError" in bare.run_command(["python", "-c", "import spikeinterface, spikey"])


def test_another_recording_is_noticed(tmp_path):
    class Wrong:
        folder = tmp_path

        def run_command(self, command):
            return json.dumps({"recordings": [["", [], [], []]] * 3, "package": str(tmp_path)})

    _, recording = container.recordings(tmp_path)
    with pytest.raises(SpikeyError, match=r"a\.json: is read as another recording"):
        container.check_reading(Wrong(), recording, tmp_path)


@pytest.mark.slow
def test_a_sorter_in_a_container_finds_the_same_spikes(capsys):
    for package in container.NEEDS:
        pytest.importorskip({"scikit-learn": "sklearn"}.get(package, package))
    container.main(["--borrow"])
    assert "spikes in the bare environment" in capsys.readouterr().out


def test_the_example_has_arguments_that_spikeinterface_takes():
    (example,) = (
        block.text
        for block in blocks((ROOT / "docs" / "containers.md").read_text(encoding="utf-8"))
        if block.language == "python"
    )
    compile(example, "containers.md", "exec")
    taken = {*inspect.signature(runsorter.run_sorter).parameters, *_container_arguments()}
    for name in ("folder", "docker_image", "installation_mode", "extra_requirements"):
        assert f"    {name}=" in example and name in taken


def _container_arguments() -> set[str]:
    return set(inspect.signature(runsorter.run_sorter_container).parameters)
