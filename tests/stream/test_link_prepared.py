"""Nothing is compiled while a stream is received or sent: by then every kernel has been."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

from kit.paths import SOURCE, TESTS
from spikey import Encoder, TelemetryEncoder, TelemetrySettings
from spikey.recording.simulate import simulate
from spikey.stream import prepare as streams
from spikey.stream.receiver import Receiver
from spikey.telemetry import prepare as telemetry
from spikey.telemetry.link import Receiver as TelemetryReceiver

RATE = 20_000
COMPILED = "NUMBA_DISABLE_JIT" not in os.environ


def compiled() -> set[tuple[str, str, str]]:
    """The kernels that are compiled or loaded, each with the types that it takes."""
    found = set()
    for name, module in list(sys.modules.items()):
        for each in vars(module).values() if name.startswith("spikey") else ():
            if isinstance(each, Dispatcher):
                own = each.py_func.__module__, each.py_func.__name__
                found |= {(*own, str(signature)) for signature in each.signatures}
    return found


def stream_kinds() -> list[np.ndarray]:
    """Recordings for which different kernels run."""
    chance, kinds = np.random.default_rng(1), [simulate(3000, channels, RATE, seed=1) for channels in (1, 8)]
    for dtype in ("int16", "uint16", "int8", "uint8"):
        limits = np.iinfo(dtype)
        kinds += [
            chance.integers(0, 50, (3000, 8)).astype(dtype),
            chance.integers(limits.min, limits.max + 1, (1000, 8)).astype(dtype),
            np.cumsum(chance.integers(-3, 4, (3000, 3)), axis=0).astype(dtype),
            np.full((1000, 1), 7, dtype=dtype),
        ]
    return kinds


def receive_streams(folder: Path) -> None:
    for index, samples in enumerate(stream_kinds()):
        encoder = Encoder(samples.shape[1], RATE, str(samples.dtype), parity=1)
        packets = [p for at in range(0, len(samples), 20) for p in encoder.push(samples[at : at + 20])]
        with Receiver(folder / f"{index}.spky", jobs=2) as receiver:
            receiver.take([(packet, None) for packet in packets + encoder.close()])
        assert receiver.streams[0].end == "end packet" and receiver.streams[0].recorder.samples == samples.size


def receive_telemetry(_: Path) -> None:
    for channels in (1, 40):
        samples = simulate(RATE, channels, RATE, seed=3)
        for settings in (
            TelemetrySettings(budget=3000.0 * channels),
            TelemetrySettings(budget=500.0 * channels, low_high=0),
            TelemetrySettings(budget=3000.0 * channels, waveforms=False, power_ms=0),
        ):
            for each in (samples, (samples >> 6).astype("int8"), samples.astype("uint16")):
                encoder = TelemetryEncoder(channels, RATE, str(each.dtype), settings=settings)
                receiver = TelemetryReceiver(io.BytesIO())
                receiver.take([(packet, None) for packet in encoder.push(each) + encoder.close()])
                assert receiver.done


KINDS = {
    "streams": (streams.prepare_receiving, receive_streams),
    "telemetry": (telemetry.prepare, receive_telemetry),
}


@pytest.mark.network
@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_compiled_before_a_stream_is_received(kind, tmp_path):
    """In a process of its own, as this one may have compiled what is missing for another test."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import {__name__} as t; t.late({kind!r})"
    )
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{TESTS}"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout.split()


def late(kind: str) -> None:
    """Print the kernels that were compiled or loaded only when streams came."""
    prepare, receive = KINDS[kind]
    prepare()
    before = compiled()
    receive(Path.cwd())
    for each in sorted(compiled() - before):
        print("/".join(each).replace(" ", ""))


@pytest.mark.parametrize("command", ["stream", "telemetry"])
def test_a_receiver_listens_only_when_all_is_compiled(command, monkeypatch, tmp_path):
    """Nothing may be sent to it before: the socket is opened after the last kernel."""
    from typer.testing import CliRunner

    from spikey.cli import app, stream_receive, telemetry_link
    from spikey.stream import arrivals

    done: list[str] = []
    monkeypatch.setattr(streams, "prepare_receiving", lambda: done.append("prepared"))
    monkeypatch.setattr(telemetry, "prepare", lambda: done.append("prepared"))
    monkeypatch.setattr(stream_receive, "record", lambda *arguments: None)
    monkeypatch.setattr(telemetry_link, "record", lambda *arguments: None)

    class Listening(arrivals.Source):
        def _listen(self, address):
            done.append("listening")
            return super()._listen(address)

    monkeypatch.setattr(arrivals, "Source", Listening)
    CliRunner().invoke(app, [command, "receive", "udp://127.0.0.1:0", str(tmp_path / "out")])
    assert done == ["prepared", "listening"]
