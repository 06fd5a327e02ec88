"""The wheel: what is in it, how large it is, and that it works where nothing of the checkout can be seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from kit.paths import ROOT, SOURCE

pytestmark = pytest.mark.slow
MOST_BYTES = 1_400_000
ROUND_TRIP = """
import numpy, spikey
samples = numpy.random.default_rng(0).integers(-500, 500, (2000, 2)).astype("int16")
assert (spikey.decompress(spikey.compress(samples, 20000)).samples == samples).all()
print(spikey.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a copy of the checkout, built without an index."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, folder / name)
    for name in ("src", "tools", "tests", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q"]
    subprocess.run([*build, "-w", folder / "out", folder], check=True)
    (file,) = (folder / "out").iterdir()
    return file


def test_the_wheel_holds_the_package_and_its_data_alone(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    kept = {path for path in (SOURCE / "spikey").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {name for name in names if ".dist-info/" not in name} == {str(path.relative_to(SOURCE)) for path in kept}
    assert wheel.stat().st_size < MOST_BYTES


def test_the_wheel_works_by_itself(wheel, tmp_path):
    unpacked, elsewhere = tmp_path / "unpacked", tmp_path / "elsewhere"
    zipfile.ZipFile(wheel).extractall(unpacked)
    elsewhere.mkdir()

    def run(*arguments: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(unpacked)}
        done = subprocess.run(
            [sys.executable, "-P", *arguments], cwd=elsewhere, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("-c", ROUND_TRIP).strip() == str(unpacked / "spikey" / "__init__.py")
    assert "identical, byte for byte" in run("-m", "spikey", "demo")
    assert "1,024 channels" in run("-m", "spikey", "budget")
