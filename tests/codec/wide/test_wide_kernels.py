"""The wide engine's kernels with their indices checked, and interpreted: the same bytes, and no integer overflows."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from kit.paths import ROOT
from kit.wide import CONTENTS, encoded, made, round_trip
from spikey.base import jit_cache
from spikey.levels.n1 import N1_VALUES
from spikey.model.calibration import n1


def in_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, which imports what tests do."""
    paths = os.pathsep.join(str(ROOT / part) for part in ("src", "tests", "tests/codec/wide"))
    environment = {**os.environ, "PYTHONPATH": paths, **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT)


def tiny() -> list[np.ndarray]:
    """Samples of all kinds that take little to code."""
    found = [made(content, (19, 3), dtype) for content in CONTENTS for dtype in ("int16", "int32", "uint32")]
    found.append(N1_VALUES[np.clip(made("walks", (40, 2), "int16") + 512, 0, 1023)])
    found.append(made("walks", (30, 2), "int16").astype(np.float32) * np.float32(0.195))
    return found


def digest() -> str:
    """Of what tiny samples are coded to; each is decoded as well."""
    total = hashlib.sha256()
    for samples in tiny():
        round_trip(samples, n1())
        total.update(encoded(samples, n1()) or b"none")
    return total.hexdigest()


@pytest.mark.slow
def test_interpreted_kernels_give_the_same_bytes_without_overflow():
    code = """if 1:
        import warnings
        for words in ("overflow encountered", "invalid value encountered"):
            warnings.filterwarnings("error", words, RuntimeWarning)
        from test_wide_kernels import digest
        print(digest())
    """
    done = in_process(code, NUMBA_DISABLE_JIT="1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [digest()]


@pytest.mark.slow
def test_no_kernel_looks_beyond_an_array():
    """Samples of all kinds, and a moment of mutated payloads, with bounds checks, which must be at work."""
    code = """if 1:
        import sys
        import numpy as np
        from spikey.codec.wide import fold
        try:
            fold.centre(np.zeros((2, 1, 200)), 8, np.zeros(1), np.zeros(2, bool))
            sys.exit("indices are not checked")
        except IndexError:
            pass
        from test_wide_kernels import digest
        from kit.wide import CONTENTS, INTEGERS, made, round_trip
        print(digest())
        for content in CONTENTS:
            for dtype in INTEGERS:
                for shape in ((1, 1), (7, 3), (200, 40), (301, 2)):
                    round_trip(made(content, shape, dtype))
            round_trip(made(content, (16_400, 2), "int16"))
        sys.path.insert(0, "tools")
        from fuzzing.campaign import run
        from fuzzing.entries import ENTRIES
        outcome = run(ENTRIES["wide"], 5, seed=3)
        assert outcome.tried > 50 and not outcome.findings, outcome.findings
    """
    done = in_process(code, NUMBA_BOUNDSCHECK="1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [digest()]


def test_kernels_with_and_without_bounds_checks_are_kept_apart(tmp_path):
    """One must not be used for the other, nor remove it."""
    code = "from spikey.base import jit_cache as kept; print(kept.SOURCES, kept.STAMP)"
    for setting, ending in (("0", ""), ("1", jit_cache.BOUNDS)):
        sources, stamp = in_process(code, NUMBA_BOUNDSCHECK=setting).stdout.split()
        assert (sources, stamp) == (jit_cache.SOURCES, jit_cache.SOURCES + ending)
    tag = f"py{sys.version_info.major}{sys.version_info.minor}"
    stamps = [jit_cache.SOURCES, jit_cache.SOURCES + jit_cache.BOUNDS]
    mine = [f"loop.run-7.{tag}.{stamp}.{rest}" for stamp in stamps for rest in ("nbi", "1.nbc")]
    stale = [f"loop.run-7.{tag}.0123456789ab{ending}.1.nbc" for ending in ("", jit_cache.BOUNDS)]
    for name in mine + stale:
        (tmp_path / name).touch()
    jit_cache.clear(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(mine)
