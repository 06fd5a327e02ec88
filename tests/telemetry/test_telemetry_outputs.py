"""Files that telemetry becomes, written part by part: the same as from all of it, in memory that does not grow."""

from __future__ import annotations

import csv
import dataclasses
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import typer

import spikey
from spikey.base.errors import DataError, OutputExistsError, UsageError
from spikey.cli import telemetry_decode
from spikey.recording.simulate import simulate
from spikey.telemetry import export
from spikey.telemetry import file as file_module
from spikey.telemetry.check import check, inspect
from spikey.telemetry.packet import KEY, read_packet, write_packet

RATE, CHANNELS = 20_000.0, 5
FORMS = ("npz", "csv", "wav", "nwb", "zarr")
MODULES = {"nwb": "pynwb", "zarr": "zarr"}


def encoded(seconds: float, budget: float = 3000.0, **kept: object) -> list[bytes]:
    """Packets of a recording; budget: bit/s of a channel."""
    samples = simulate(round(seconds * RATE), CHANNELS, RATE, 4, spikes_per_second=100)
    chosen = spikey.TelemetrySettings(budget=CHANNELS * budget, packet_ms=10, **kept)  # type: ignore[arg-type]
    encoder = spikey.TelemetryEncoder(CHANNELS, RATE, settings=chosen, stream=3)
    return encoder.push(samples) + encoder.close()


@pytest.fixture(scope="module")
def packets() -> list[bytes]:
    return encoded(4.3, 2600.0, key_s=0.5)  # which is too little for all waveforms


def moved(packets: list[bytes], by: int) -> list[bytes]:
    """The same packets with later numbers."""
    found = []
    for packet in packets:
        flags, number, description, payload = read_packet(packet)
        words = b""
        if description is not None:
            words = dataclasses.replace(description, packet=description.packet + by).write()
        found.append(write_packet(flags, number + by, payload, words))
    return found


@pytest.fixture(params=["whole", "lossy", "damaged", "long loss", "late"])
def path(request, packets, tmp_path) -> Path:
    content = {
        "whole": packets,
        "lossy": packets[:100] + packets[130:250] + packets[253:],
        "damaged": [*packets[:77], b"\x90junk" * 40, *packets[78:400]],
        "long loss": packets[:200] + moved(packets[:150], 1100),
        "late": packets[210:],  # whose first key comes later
    }[request.param]
    if request.param == "late":
        key = next(at for at, packet in enumerate(moved(packets, 500)) if packet[0] & KEY)
        content = moved(packets, 500)[key:]
    path = tmp_path / "in" / "a.spkt"
    path.parent.mkdir()
    path.write_bytes(b"SPKT" + b"".join(content))
    return path


@pytest.fixture
def decode() -> Callable[..., None]:
    """Run `spikey telemetry decode` in this process."""
    app = typer.Typer()
    app.command()(telemetry_decode.command)
    return lambda *arguments: app([str(argument) for argument in arguments], standalone_mode=False)


def options(folder: Path, forms: tuple[str, ...] = FORMS) -> list[str]:
    return [word for form in forms for word in (f"--{form}", str(folder / f"a.{form}"))]


def datasets(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an HDF5 file that depend on what was decoded."""
    import h5py

    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:

        def visit(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset) and name.split("/")[0] in ("units", "processing", "intervals"):
                found[name] = item[()]

        file.visititems(visit)
    return found


def test_outputs_are_the_same_as_those_of_the_whole(path, decode, tmp_path):
    for module in MODULES.values():
        pytest.importorskip(module)
    import zarr

    from spikey.integrations.nwb import write_nwb

    decode(path, *options(tmp_path))
    whole = spikey.read_telemetry(path)
    assert len(whole.waveforms) and (whole.waveform_of < 0).any()
    other = tmp_path / "other"
    other.mkdir()
    for form, write in (("npz", export.write_npz), ("csv", export.write_csv), ("wav", export.write_wav)):
        write(whole, other / f"a.{form}")
        assert (tmp_path / f"a.{form}").read_bytes() == (other / f"a.{form}").read_bytes(), form
    write_nwb(whole, other / "a.nwb")
    wanted, got = datasets(other / "a.nwb"), datasets(tmp_path / "a.nwb")
    assert wanted.keys() == got.keys() and len(wanted) > 10
    for name, value in got.items():
        assert value.dtype == wanted[name].dtype and value.shape == wanted[name].shape, name
        if value.dtype.kind in "fiu":
            assert np.array_equal(value, wanted[name], equal_nan=value.dtype.kind == "f"), name
    assert np.array_equal(got["processing/ecephys/low_band/data"], whole.low, equal_nan=True)
    assert np.array_equal(got["processing/ecephys/spike_band_power/data"], whole.power, equal_nan=True)
    order = np.argsort(whole.event_channels, kind="stable")
    assert np.array_equal(got["units/spike_times"], whole.event_frames[order] / RATE)
    assert np.array_equal(got["units/weak"], whole.event_weak[order]) and 0 < got["units/weak"].sum() < len(order)
    assert np.array_equal(got["units/weak_index"], got["units/spike_times_index"])
    rows = whole.waveform_of[order]
    assert np.array_equal(got["units/waveforms"], whole.waveforms[rows[rows >= 0]])
    assert np.array_equal(got["units/waveforms_index"], np.cumsum(rows >= 0))
    from spikey.integrations.telemetry_zarr import PLACES

    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
    arrays = export.arrays(whole)
    for name, place in PLACES.items():
        array = group[place]
        value = array[:]
        assert value.dtype == arrays[name].dtype and array.attrs["unit"] == export.UNITS[name]
        assert np.array_equal(value, arrays[name], equal_nan=value.dtype.kind == "f"), name
    for name in ("rate", "channels", "frames", "dtype", "low_rate", "power_bin", "waveform_pre", "note"):
        assert group.attrs[name] == arrays[name].item()
    assert group.attrs["left_out"] == list(whole.dropped) and group.attrs["settings"]["threshold"] == 4.5
    assert {each.name for each in tmp_path.iterdir()} == {"in", "other", *(f"a.{form}" for form in FORMS)}


def test_streams_without_some_of_it(tmp_path, decode):
    """Neither waveforms nor LFP band nor power; and no events."""
    for module in MODULES.values():
        pytest.importorskip(module)
    import zarr

    path = tmp_path / "a.spkt"
    silent = spikey.TelemetryEncoder(2, RATE)
    for content in (
        encoded(1.5, waveforms=False, power_ms=0.0, low_high=0.0),
        silent.push(np.zeros((3000, 2), dtype=np.int16)) + silent.close(),
    ):
        path.write_bytes(b"SPKT" + b"".join(content))
        whole = spikey.read_telemetry(path)
        decode(path, "--force", *options(tmp_path))
        export.write_npz(whole, tmp_path / "b.npz", overwrite=True)
        assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
        group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
        assert group["events/frames"].shape == whole.event_frames.shape
        assert group["low/values"].shape == whole.low.shape and group["waveforms/samples"].shape[0] == 0
        with open(tmp_path / "a.csv", newline="") as file:
            assert len(list(csv.reader(file))) == len(whole.event_frames) + 1


def test_a_part_of_a_stream_as_nwb(packets, tmp_path):
    pytest.importorskip("pynwb")
    from spikey.integrations.nwb import write_nwb

    path = tmp_path / "a.spkt"
    path.write_bytes(b"SPKT" + b"".join(packets))
    part = spikey.read_telemetry(path, 1.03, 2.5)
    write_nwb(part, tmp_path / "a.nwb")
    found = datasets(tmp_path / "a.nwb")
    assert np.array_equal(np.sort(found["units/spike_times"]), part.event_frames / RATE)
    assert found["processing/ecephys/spike_band_power/starting_time"] == 1.0  # of the bin that ends in the part
    assert found["processing/ecephys/low_band/starting_time"] == part.low_frames[0] / RATE
    export.write_wav(part, tmp_path / "a.wav")
    with open(tmp_path / "a.wav", "rb") as file:
        assert file.read()[-2 * CHANNELS * part.frames :] == part.samples().tobytes()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError, OSError, ValueError])
def test_nothing_is_left_of_what_ends_early(packets, tmp_path, monkeypatch, form, error):
    if form in MODULES:
        pytest.importorskip(MODULES[form])
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.spkt"
    path.write_bytes(b"SPKT" + b"".join(packets))
    real = file_module.iter_telemetry

    def interrupted(*arguments: object, **kept: object) -> object:
        for number, part in enumerate(real(*arguments, **kept)):  # type: ignore[arg-type]
            yield part
            if number == 2:
                raise error("for a test")

    monkeypatch.setattr(file_module, "iter_telemetry", interrupted)
    with pytest.raises((error, UsageError)):
        telemetry_decode.command(str(path), str(tmp_path / f"a.{form}"))
    assert [each.name for each in tmp_path.iterdir()] == ["in"]
    assert [each.name for each in (tmp_path / "in").iterdir()] == ["a.spkt"]


def test_what_a_zarr_group_may_replace(packets, tmp_path, decode):
    zarr = pytest.importorskip("zarr")
    path, out = tmp_path / "a.spkt", tmp_path / "a.zarr"
    path.write_bytes(b"SPKT" + b"".join(packets[:50]))
    decode(path, out)
    (out / "of the former").touch()
    with pytest.raises(OutputExistsError, match="exists"):
        decode(path, out)
    assert (out / "of the former").exists()
    decode(path, out, "--force")
    assert zarr.open_group(str(out), mode="r").attrs["channels"] == CHANNELS
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.spkt", "a.zarr"]
    mine = tmp_path / "mine.zarr"
    mine.mkdir()
    (mine / "thesis.txt").touch()
    for place in (mine, path):
        with pytest.raises(UsageError, match="is not a Zarr group, which is all that it may replace|read and written"):
            decode(path, "--zarr", place, "--force")
    assert (mine / "thesis.txt").exists()
    with pytest.raises(UsageError, match="this machine first"):
        decode(path, "memory://some/a.zarr")
    with pytest.raises(UsageError, match="cannot be written"):
        decode(path, tmp_path / "none" / "a.zarr")


def test_a_file_that_grows_meanwhile(packets, tmp_path, decode, monkeypatch):
    path = tmp_path / "a.spkt"
    path.write_bytes(b"SPKT" + b"".join(packets[:50]))
    monkeypatch.setattr(telemetry_decode, "_size", lambda _: 1 << 20)
    with pytest.raises(DataError, match="has grown or shrunk while it was read"):
        decode(path, tmp_path / "a.csv")
    assert [each.name for each in tmp_path.iterdir()] == ["a.spkt"]


def peak(call: Callable[[], object]) -> int:
    """Bytes that a call holds at most."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    pytest.importorskip("pynwb")
    pytest.importorskip("zarr")
    from spikey.integrations import nwb_units, telemetry_zarr
    from spikey.integrations.nwb import nwb_output
    from spikey.telemetry import npz

    # What is written together is much of so small a file.
    monkeypatch.setattr(nwb_units, "TOGETHER", 2000)
    monkeypatch.setattr(telemetry_zarr, "CHUNK_BYTES", 1 << 14)
    monkeypatch.setattr(npz, "COPIED", 1 << 14)
    monkeypatch.setattr(file_module, "PIECE", 1 << 14)
    short, long = tmp_path / "short.spkt", tmp_path / "long.spkt"
    samples = simulate(round(4 * RATE), 16, RATE, 4, spikes_per_second=100)
    for path, times in ((short, 2), (long, 6)):  # buffers have grown to their full size in the short one
        encoder = spikey.TelemetryEncoder(16, RATE, settings=spikey.TelemetrySettings(budget=4e5, packet_ms=10))
        content = [packet for _ in range(times) for packet in encoder.push(samples)] + encoder.close()
        path.write_bytes(b"SPKT" + b"".join(content))
    outputs: dict[str, Callable] = {
        "npz": npz.npz_output,
        "nwb": nwb_output,
        "zarr": telemetry_zarr.zarr_output,
        "wav": export.wav_output,
        "csv": lambda known, *rest, **kept: export.csv_output(known.description, *rest, **kept),
    }

    def written(path: Path) -> None:
        known = inspect(path)[0]
        with ExitStack() as stack:
            adds = [
                stack.enter_context(output(known, tmp_path / f"out.{form}", overwrite=True))
                for form, output in outputs.items()
            ]
            for part in spikey.iter_telemetry(path, 0.5):
                for add in adds:
                    add(part)

    sizes = [
        sum(array.nbytes for array in export.arrays(spikey.read_telemetry(path)).values()) for path in (short, long)
    ]
    assert sizes[1] > 2.9 * sizes[0] > 5e6
    for call in (check, written):
        call(short)  # what is imported and compiled does not count
        held = [peak(lambda call=call, path=path: call(path)) for path in (short, long)]
        assert held[1] < held[0] + 0.05 * (sizes[1] - sizes[0])
    assert peak(lambda: spikey.read_telemetry(long)) < 1.2 * sizes[1] + held[0]
