"""The examples of docs/plugins.md run as they stand, each where the packages that it imports are installed."""

from __future__ import annotations

import re

import pytest

from kit.paths import ROOT

TEXT = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
SETUP, *EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: re.findall(r"^(?:from|import) (\S+)", text, re.M)[-1])
def test_example(example, tmp_path, monkeypatch):
    if "compressor=codec" in example and "import zarr" in example:
        zarr = pytest.importorskip("zarr")
        if not zarr.__version__.startswith("2."):
            pytest.skip("an example for zarr-python 2")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(SETUP, names)
    try:
        exec(example, names)
    except ImportError as error:
        pytest.skip(str(error))
