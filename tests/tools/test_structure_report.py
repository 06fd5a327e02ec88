"""The figures on the package's structure: imports that count, the rule, and what a run passes through."""

from __future__ import annotations

import re

import pytest

from kit.paths import ROOT, SOURCE
from tools import structure
from tools.structure import Layers


@pytest.fixture
def package(tmp_path):
    """A package of three layers, with an import of every kind, and a run that calls upwards once."""
    files = {
        "__init__": "",
        "low/__init__": "",
        "low/a": "def work(report):\n    report()\n",
        "low/b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from spikey.high import top\n",
        "left/__init__": "from spikey.low.a import work\n",
        "right/__init__": "def late():\n    from spikey import left\n    import spikey.low.b\n",
        "high/__init__": "",
        "high/top": (
            "import spikey.low.a as a\nfrom spikey.low import b\n"
            "def note():\n    pass\n"
            "def compress_file(path, out):\n    a.work(note)\n"
            "class Spikey:\n"
            "    def encode(self, samples):\n        import spikey.left\n        return samples.tobytes()\n"
            "    def decode(self, data):\n        return memoryview(data)\n"
        ),
    }
    for name, text in files.items():
        path = tmp_path / "src" / "spikey" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "README.md").write_text("An lpc filter.\n")
    return tmp_path / "src"


def test_imports_are_found_wherever_they_run(package):
    modules = structure.modules_of(package)
    assert structure.imported("spikey.right", modules) == {"spikey.left", "spikey.low.b"}
    assert structure.imported("spikey.high.top", modules) == {"spikey.low.a", "spikey.low.b", "spikey.left"}
    assert structure.imported("spikey.low.b", modules) == set()


@pytest.mark.parametrize(
    ("one", "other", "forbidden"),
    [
        ("spikey.high.top", "spikey.low.a", False),
        ("spikey.low.a", "spikey.low.b", False),
        ("spikey.low.a", "spikey.high", True),
        ("spikey.left", "spikey.right.x", True),
        ("spikey.left.a", "spikey.left.b", False),
        ("spikey.high", "spikey", True),
    ],
)
def test_the_rule(one, other, forbidden):
    assert Layers(["high", "left | right", "low"]).against(one, other) is forbidden


def test_siblings_of_one_group_may_import_each_other():
    assert not Layers(["high", "left : right", "low"]).against("spikey.left", "spikey.right")


def test_the_figures_of_a_small_package(package):
    lines = list(
        structure.report(
            package, Layers(["high", "left | right", "low"]), "spikey.high.top:compress_file", "spikey.high.top"
        )
    )
    assert lines == [
        "most imported module: spikey.left, by 2 of 8 modules",
        "imports against the rule: 1\n    spikey.right -> spikey.left",
        "files that compress_file passes through: 2",
        "calls into a higher package: 1, between 1 pairs of files",
        "    spikey.low.a -> spikey.high.top, 1 times",
        "returns to a higher package, to go on from there: 1",
        "files that name the predictor lpc: 0 of the package, 0 tests, 1 documents",
        "    ",
        "largest file: spikey.high.top, 12 lines; 0 files over 400 lines, 0 over 300",
        "modules loaded by the numcodecs codec: 7 after one round trip, 6 before it",
        "Numba loaded before the first encode: no",
    ]


def test_every_package_has_a_layer():
    layers = Layers.of_contract()
    for module in structure.modules_of(SOURCE):
        assert layers.rank(module) >= 0


def test_the_table_of_layers_is_that_of_the_contract():
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    layers = Layers.of_contract()
    packages = {path.name for path in (SOURCE / "spikey").iterdir() if (path / "__init__.py").exists()}
    assert {name: int(layer) for layer, name in rows} == {name: layers.rank(f"spikey.{name}") for name in packages}
