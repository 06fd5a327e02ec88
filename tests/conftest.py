"""What all tests share: the folder of real recordings, where there is one."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from kit.paths import DATA

pytest_plugins = ["kit.archives", "kit.commands"]  # their fixtures are everybody's


@pytest.fixture(scope="session")
def real_recordings() -> list[Path]:
    """Real N1 recordings outside the validation set; skips where there are none."""
    files = sorted((DATA / "neuralink").glob("*.wav"))
    if not files:
        pytest.skip("no real recordings beside this checkout (../shared/data/neuralink)")
    return [file for index, file in enumerate(files) if index % 5]


# A shell has what it runs in the background ignore interrupts; programs that tests start and interrupt would as well.
signal.signal(signal.SIGINT, signal.default_int_handler)
