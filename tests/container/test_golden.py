"""Every released byte stays as it is: golden files decode, and are written again byte for byte, compiled or not."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import spikey
from kit.golden import CASES, GOLDEN
from kit.paths import TESTS
from spikey.container.layout import BLOCK_BYTES
from spikey.report.self_test import self_test


def content(data: bytes) -> np.ndarray | bytes:
    with spikey.open(data) as reader:
        if reader.header.wrapper == 3:
            return b"".join(reader.around(BLOCK_BYTES))
        return reader.read(0, reader.frames)


@pytest.mark.parametrize("name", CASES)
def test_golden_file_decodes(name):
    wanted, got = CASES[name][0](), content((GOLDEN / f"{name}.spky").read_bytes())
    if isinstance(wanted, bytes):
        assert got == wanted
    else:
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted.reshape(got.shape))


@pytest.mark.parametrize("name", CASES)
def test_golden_file_is_written_again(name):
    assert CASES[name][1]() == (GOLDEN / f"{name}.spky").read_bytes()


def test_every_golden_file_is_tested():
    assert {path.stem for path in GOLDEN.glob("*.spky")} == set(CASES)


def test_self_test_finds_nothing():
    assert self_test() == []


@pytest.mark.parametrize(
    "names",
    [
        ["lpc", "crossed", "lms", "wide", "float_scaled"],
        pytest.param(["balanced", "learned_dense", "max_crossed"], marks=pytest.mark.slow),
    ],
    ids=["quick", "networks"],
)
def test_uncompiled_kernels_write_the_same_bytes(names):
    """The slow way, in a process of its own: plain Python with NumPy's scalars."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from kit.golden import CASES, GOLDEN\n"
        "for name in sys.argv[2:]:\n"
        "    assert CASES[name][1]() == (GOLDEN / f'{name}.spky').read_bytes(), name\n"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(TESTS), *names],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
