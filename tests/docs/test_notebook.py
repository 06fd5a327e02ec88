"""docs/notebook.ipynb runs from top to bottom, and contains no outputs."""

from __future__ import annotations

import ast
import json

import pytest

from kit.paths import ROOT

NOTEBOOK = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_it_is_a_notebook_without_outputs():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(names)) == len(names)
    for cell in NOTEBOOK["cells"]:
        assert cell.get("outputs", []) == [] and cell.get("execution_count") is None


def test_it_shows_what_it_is_for():
    text = "\n".join(CODE)
    for call in ("simulate(", "spikey.compress(", "spikey.open(", "reader[", ".plot(", "read_telemetry("):
        assert call in text
    assert not any("%" in line[:1] for cell in CODE for line in cell.splitlines()), "plain Python, no magic commands"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_it_runs(tmp_path, monkeypatch, capsys):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for number, cell in enumerate(CODE):
        exec(compile(ast.parse(cell), f"code cell {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert "ratio 3." in printed and "threshold crossings" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"notebook.spky", "notebook.spkt"}
    assert len(names["figure"].axes) == 2
    plt.close("all")
    names["reader"].close()
