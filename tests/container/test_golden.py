"""Every released byte stays as it is: golden files decode, and are written again byte for byte, compiled or not.

Those that contain DEFLATE are only decoded: other versions of zlib write other bytes.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import spikey
from kit.golden import CASES, GOLDEN, PACKED
from kit.golden_wide import WIDE_CASES
from kit.paths import TESTS
from spikey.codec.registry import ranked
from spikey.coding import deflated
from spikey.container.layout import BLOCK_BYTES
from spikey.files.compress import compress_file
from spikey.files.settings import Settings
from spikey.recording.layout import Layout
from spikey.recording.wav import canonical_head
from spikey.report.self_test import known_signal, self_test


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


@pytest.mark.parametrize("name", [name for name in CASES if name not in PACKED])
def test_golden_file_is_written_again(name, without_deflate):
    assert CASES[name][1]() == (GOLDEN / f"{name}.spky").read_bytes()


@pytest.mark.parametrize("name", sorted(PACKED))
def test_what_contains_deflate_is_written_otherwise_and_decodes(name):
    written = CASES[name][1]()
    wanted = content((GOLDEN / f"{name}.spky").read_bytes())
    np.testing.assert_array_equal(content(written), wanted)


@pytest.mark.parametrize("name", sorted(PACKED))
def test_no_more_golden_files_than_necessary_contain_deflate(name, without_deflate):
    with pytest.raises(Deflated):
        CASES[name][1]()


class Deflated(Exception):
    """Something was about to be deflated."""


@pytest.fixture
def without_deflate(monkeypatch):
    def refuse(*_):
        raise Deflated

    monkeypatch.setattr(deflated, "_deflate", refuse)


@pytest.mark.parametrize("preset", ranked())
def test_the_file_of_a_canonical_n1_recording_contains_no_deflate(tmp_path, without_deflate, preset):
    signal = known_signal(500)[:, 0]
    head = canonical_head(Layout(1, 20_000, "int16"), 500)
    (tmp_path / "a.wav").write_bytes(head + signal.astype("<i2").tobytes())
    compress_file(tmp_path / "a.wav", tmp_path / "a.spky", Settings(preset=preset, verify=True))
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes() + b"tail" * 9)
    with pytest.raises(Deflated):
        compress_file(tmp_path / "b.wav", tmp_path / "b.spky", Settings(preset=preset))


def test_every_golden_file_is_tested():
    assert {path.stem for path in GOLDEN.glob("*.spky")} == set(CASES)


def test_self_test_finds_nothing():
    assert self_test() == []


@pytest.mark.parametrize(
    "names",
    [
        ["lpc", "crossed", "wide", "float_scaled"],
        list(WIDE_CASES),
        pytest.param(["balanced", "learned_dense", "max_crossed"], marks=pytest.mark.slow),
    ],
    ids=["quick", "fast", "networks"],
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
