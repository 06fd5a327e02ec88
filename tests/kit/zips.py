"""Archives of recordings to unpack and download, and a function that gives a configuration of data."""

from __future__ import annotations

import errno
import io
import warnings
import wave
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from spikey.base.errors import SpikeyError
from spikey.config.schema import Data
from spikey.training import download as download_module
from spikey.training.data import recordings


def noise(seed: int, frames: int = 20_000, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-500, 500, (frames, channels)).astype("<i2")


def wav_bytes(samples: np.ndarray) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((samples.shape[1], 2, 20_000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return out.getvalue()


def zip_bytes(members: dict, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of members, given by name or ZipInfo."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that occurs twice
        for name, content in members.items():
            if isinstance(name, zipfile.ZipInfo):
                name.compress_type = method
            file.writestr(name, content)
    return out.getvalue()


WAV = wav_bytes(noise(0, 500))
GOOD = zip_bytes({"set/a.wav": WAV, "set/B.WAV": wav_bytes(noise(1, 600)), "set/read.me": "x", "__MACOSX/._a.wav": "x"})


@pytest.fixture
def at(tmp_path, monkeypatch):
    """A function: data with this url, and the directory `data` of an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(download_module, "PAUSE", 0)
    return lambda url: Data(url=str(url), directory="data")


def sentence(kind: type[SpikeyError], data: Data, **options) -> str:
    """The sentence with which `recordings` fails, checked for form."""
    with pytest.raises(kind) as caught:
        recordings(data, **options)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 700
    return text


def everything(folder: Path = Path()) -> list[str]:
    return sorted(path.as_posix() for path in folder.rglob("*"))


class FullDisk:
    """Opens files that take `room` bytes more, all of them together, and then none."""

    def __init__(self, room: int):
        self.room = room

    def __call__(self, path, mode="r", *arguments, **options):
        file = open(path, mode, *arguments, **options)  # noqa: SIM115 (whoever asks closes it)
        if "r" in mode:
            return file
        real = file.write

        def write(data: bytes) -> int:
            self.room -= len(data)
            if self.room < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(data)

        class Full:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

        full = Full()
        full.write = write  # type: ignore[attr-defined]
        return full


class Bars:
    """Progress that remembers, and that interrupts once so many bytes are done."""

    def __init__(self, interrupt_at: float = float("inf"), unit: str = "bytes downloaded"):
        self.interrupt_at, self.unit = interrupt_at, unit
        self.seen: list[tuple[int | None, str, int]] = []

    @contextmanager
    def __call__(self, total: int | None, unit: str):
        done = 0

        def advance(amount: int) -> None:
            nonlocal done
            done += amount
            if unit == self.unit and done >= self.interrupt_at:
                raise KeyboardInterrupt

        yield advance
        self.seen.append((total, unit, done))
