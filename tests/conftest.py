"""What all tests share: fixtures of the kit, and markers that skip what this machine lacks."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from kit.mounting import lacking
from kit.paths import CC, DATA

pytest_plugins = [
    "kit.archives",
    "kit.blocks",
    "kit.commands",
    "kit.networks",
    "kit.s3",
    "kit.watching",
    "kit.zips",
]  # their fixtures are everybody's


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `data`, `native` or `fuse` where recordings, a C compiler or FUSE are absent."""
    for marker in item.iter_markers("data"):
        if not (DATA / marker.args[0]).exists():
            pytest.skip(f"no recordings beside this checkout (../shared/data/{marker.args[0]})")
    if CC is None and item.get_closest_marker("native") is not None:
        pytest.skip("no C compiler (cc, gcc or clang) on this machine")
    if item.get_closest_marker("fuse") is not None and (reason := lacking()):
        pytest.skip(reason)


@pytest.fixture(scope="session")
def real_recordings() -> list[Path]:
    """Real N1 recordings outside the validation set, for tests marked `data("neuralink")`."""
    return [file for index, file in enumerate(sorted((DATA / "neuralink").glob("*.wav"))) if index % 5]


# A shell has what it runs in the background ignore interrupts; programs that tests start and interrupt would as well.
signal.signal(signal.SIGINT, signal.default_int_handler)
