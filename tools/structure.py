"""How the package hangs together, in a dozen figures: `python -m tools.structure`, or `make structure`.

The layers are those of the contract in pyproject.toml. Another version is looked at with its own layers and names, here
the last one before the packages were arranged in layers:

    python -m tools.structure --src ../before/src --layers "cli,..." --compress spikey.files:compress_file
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from tools import structure_run

ROOT = Path(__file__).parents[1]
PREDICTOR = "lpc"  # whose name is looked for in every file that a new predictor would touch


def modules_of(src: Path) -> dict[str, Path]:
    """The file of every module of the package."""
    files = sorted((src / "spikey").rglob("*.py"))
    return {".".join(file.relative_to(src).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imported(name: str, modules: dict[str, Path]) -> set[str]:
    """The modules of the package that one imports, anywhere but under TYPE_CHECKING."""
    found = set[str]()
    for node in _run(ast.parse(modules[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            parts = [f"{node.module}.{alias.name}" for alias in node.names]
            wanted = [part if part in modules else node.module for part in parts]
        else:
            continue
        found.update(each for each in wanted if each in modules and each != name)
    return found


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but the bodies of `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from _run(other)
        else:
            yield child
            yield from _run(child)


class Layers:
    """The order of the packages, highest first; siblings are divided by `|` where none imports another, or `:`."""

    def __init__(self, lines: list[str]):
        names = [[name.strip() for name in re.split(r"[|:]", line)] for line in lines]
        self._rank = {name: rank for rank, line in enumerate(reversed(names)) for name in line}
        self._apart = {name for line, many in zip(lines, names, strict=True) if "|" in line for name in many}

    @classmethod
    def of_contract(cls) -> Layers:
        """Those of the first contract in pyproject.toml."""
        contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
        return cls(next(each["layers"] for each in contracts if each["type"] == "layers"))

    def rank(self, module: str) -> int:
        """The layer of a module, 0 for the lowest; the package's root is above all. KeyError for an unknown package."""
        return self._rank[_package(module)] if module != "spikey" else len(self._rank)

    def against(self, module: str, other: str) -> bool:
        """Whether the rule forbids that `module` imports `other`."""
        mine, its = _package(module), _package(other)
        siblings = mine != its and self.rank(module) == self.rank(other) and mine in self._apart
        return siblings or self.rank(other) > self.rank(module)


def _package(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def files_with(word: str, files: list[Path]) -> list[Path]:
    """The files that contain a word."""
    whole = re.compile(rf"\b{word}\b")
    return [file for file in files if whole.search(file.read_text("utf-8"))]


def ran(what: str, name: str, src: Path) -> dict[str, Any]:
    """What a function of `structure_run` finds in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(src)}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, structure_run.__file__, what, name],
            capture_output=True, text=True, cwd=folder, env=environment,
        )  # fmt: skip
    if done.returncode:
        sys.exit(f"structure: {what} {name} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def report(src: Path, layers: Layers, compress: str, codec: str) -> Iterator[str]:
    """The figures, a line each."""
    modules = modules_of(src)
    names = {str(file.resolve()): name for name, file in modules.items()}
    edges = {name: imported(name, modules) for name in modules}
    importers = Counter(other for others in edges.values() for other in others)
    most, count = max(sorted(importers.items()), key=lambda found: found[1])
    yield f"most imported module: {most}, by {count} of {len(modules)} modules"
    wrong = [f"{name} -> {other}" for name, others in sorted(edges.items()) for other in sorted(others)
             if layers.against(name, other)]  # fmt: skip
    yield f"imports against the rule: {len(wrong)}" + "".join(f"\n    {each}" for each in wrong)

    calls = [(names[one], names[other]) for one, other in ran("compress", compress, src)["calls"]]
    up = Counter(call for call in calls if layers.rank(call[1]) > layers.rank(call[0]))
    ranks = [layers.rank(callee) for _, callee in calls]
    yield f"files that {compress.partition(':')[2]} passes through: {len({callee for _, callee in calls})}"
    yield f"calls into a higher package: {sum(up.values())}, between {len(up)} pairs of files"
    yield from (f"    {caller} -> {callee}, {times} times" for (caller, callee), times in up.items())
    yield f"returns to a higher package, to go on from there: {sum(now > last for last, now in pairwise(ranks))}"

    root = src.parent
    source = files_with(PREDICTOR, list(modules.values()))
    tests = files_with(PREDICTOR, sorted((root / "tests").rglob("*.py")))
    documents = files_with(PREDICTOR, [root / "README.md", *sorted((root / "docs").rglob("*.md"))])
    counts = f"{len(source)} of the package, {len(tests)} tests, {len(documents)} documents"
    yield f"files that name the predictor {PREDICTOR}: {counts}"
    yield "    " + ", ".join(str(file.relative_to(src / "spikey")) for file in source)

    lines = {name: len(file.read_text("utf-8").splitlines()) for name, file in modules.items()}
    largest = max(lines, key=lambda name: lines[name])
    beyond = sum(count > 400 for count in lines.values()), sum(count > 300 for count in lines.values())
    yield f"largest file: {largest}, {lines[largest]} lines; {beyond[0]} files over 400 lines, {beyond[1]} over 300"
    chunk = ran("codec", codec, src)
    yield f"modules loaded by the numcodecs codec: {chunk['modules']} after one round trip, {chunk['before']} before it"
    yield f"Numba loaded before the first encode: {'yes' if chunk['numba'] else 'no'}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, default=ROOT / "src", help="the folder that holds the package")
    parser.add_argument("--layers", help="highest first, separated by commas; siblings by | (apart) or :")
    parser.add_argument("--compress", default="spikey.files.compress:compress_file", help="module:function")
    parser.add_argument("--codec", default="spikey.integrations.numcodecs", help="module of the numcodecs codec")
    given = parser.parse_args()
    layers = Layers.of_contract() if given.layers is None else Layers(given.layers.split(","))
    for line in report(given.src.resolve(), layers, given.compress, given.codec):
        print(line, flush=True)


if __name__ == "__main__":
    main()
