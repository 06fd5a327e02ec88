"""More small files as vendors' software writes them, in all forms of each format; the samples are known.

Each maker writes into a folder and returns the samples of the recordings that are to be found there, in order.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from kit.vendor_intan import intan_channels, intan_signals, intan_single
from kit.vendors import noise, open_ephys, spikeglx

Made = list[np.ndarray]


def neuralynx(
    folder: Path, channels: int = 3, records: int = 5, headers: bool = True, rate: float = 32000, start: int = 1000
) -> Made:
    """`.ncs` of Cheetah, of channels 8 to 10 and so on, so that the order of names matters."""
    samples = noise(512 * records, channels, seed=start)
    text = "######## Neuralynx Data File Header\r\n## File Name D:\\Daten\\Versuch µ\\CSC.ncs\r\n\r\n-FileType NCS\r\n"
    text += (
        '-TimeCreated 2017/02/16 17:56:04\r\n-TimeClosed 2017/02/16 18:01:18\r\n-ApplicationName Cheetah "5.7.4"\r\n'
    )
    text += f"-SamplingFrequency {rate}\r\n-ADBitVolts 0.000000061\r\n-DspFilterDelay_µs 484\r\n"
    for c in range(channels):
        data = text.encode("latin-1")
        data += f"-AcqEntName CSC{c + 8}\r\n-ADChannel {c}\r\n-InputRange 1000\r\n".encode()
        data = data.ljust(1 << 14, b"\0") if headers else b""
        for r in range(records):
            valid = 512 if r < records - 1 else 100
            data += struct.pack("<QIII", start + r * 16000, c, int(rate), valid)
            data += samples[512 * r : 512 * r + 512, c].astype("<i2").tobytes()
        (folder / f"CSC{c + 8}.ncs").write_bytes(data)
    return [samples]


MARKER = bytes((0, 1, 2, 3, 4, 5, 6, 7, 8, 255))


def open_ephys_legacy(
    folder: Path,
    names: Sequence[str] = ("100_CH1", "100_CH2", "100_CH10"),
    starts: Sequence[int] = (0, 1024, 9000, 10024),
    length: int = 1024,
    numbered: bool = True,
) -> Made:
    """`.continuous` of one processor, with a gap between two starts; `numbered`: records have a recording's number."""
    samples = noise(length * len(starts), len(names), seed=len(names))
    text = "header.format = 'Open Ephys Data Format'; \nheader.version = 0.4; \nheader.header_bytes = 1024;\n"
    text += f"header.channelType = 'Continuous';\nheader.sampleRate = 30000;\nheader.blockLength = {length};\n"
    for c, name in enumerate(names):
        data = (
            (text + f"header.channel = '{name}';\nheader.date_created = '1';\nheader.bitVolts = 0.195;\n")
            .encode()
            .ljust(1024)
        )
        for r, start in enumerate(starts):
            data += struct.pack("<qHH", start, length, r // 2)[: 12 if numbered else 10]
            data += samples[length * r : length * r + length, c].astype(">i2").tobytes() + MARKER
        (folder / f"{name}.continuous").write_bytes(data)
    return [samples]


def blackrock(
    path: Path,
    packets: Sequence[int] = (300, 0, 200),
    channels: int = 3,
    spec: tuple[int, int] = (2, 3),
    unfinished: int | None = None,
    after: bytes = b"",
    resolution: int = 30000,
) -> np.ndarray:
    """A `.nsX` of the given packets; `unfinished`: the number that is in the last packet's header instead."""
    frames = sum(packets)
    samples = noise(frames, channels, seed=frames)
    if spec == (2, 1):
        data = struct.pack("<8s16sII", b"NEURALSG", b"2 kS/s", 15, channels) + struct.pack(
            f"<{channels}I", *range(1, channels + 1)
        )
        path.write_bytes(data + samples.astype("<i2").tobytes() + after)
        return samples
    mark, stamp = (b"BRSMPGRP", "Q") if spec[0] >= 3 else (b"NEURALCD", "I")
    size = 314 + 66 * channels
    data = struct.pack("<8sBBI16s256sII", mark, *spec, size, b"raw", b"made for a test", 3, resolution)
    data += struct.pack("<8HI", 2024, 3, 0, 15, 12, 30, 0, 0, channels)
    for c in range(channels):
        data += struct.pack(
            "<2sH16sBB4h16s", b"CC", c + 1, f"elec{c + 1}".encode(), 1, c, -8192, 8191, -8191, 8191, b"uV"
        )
        data += struct.pack("<IIHIIH", 300, 1, 1, 7500000, 3, 1)
    at = 0
    for number, count in enumerate(packets):
        listed = unfinished if unfinished is not None and number == len(packets) - 1 else count
        time = (3 * at + 1000 * number * (count != 1)) * (resolution // 30000)
        data += struct.pack(f"<B{stamp}I", 1, time, listed) + samples[at : at + count].astype("<i2").tobytes()
        at += count
    path.write_bytes(data + after)
    return samples


def mtscomp(
    folder: Path,
    frames: int = 700,
    channels: int = 6,
    dtype: str = "int16",
    time_diff: bool = True,
    spatial_diff: bool = False,
    order: str = "F",
    name: str = "run.imec0.ap",
) -> Made:
    """A `.cbin` of chunks of 300 frames, and its `.ch`."""
    samples = noise(frames, channels, seed=channels).astype(dtype)
    bounds = [*range(0, frames, 300), frames]
    chunks = []
    for first, end in pairwise(bounds):
        chunk = samples[first:end]
        if time_diff:
            chunk = np.diff(chunk, axis=0, prepend=np.zeros((1, channels), dtype))
        if spatial_diff:
            chunk = np.diff(chunk, axis=1, prepend=np.zeros((len(chunk), 1), dtype))
        chunks.append(zlib.compress(chunk.astype(dtype).tobytes(order=order)))  # type: ignore[arg-type]
    (folder / f"{name}.cbin").write_bytes(b"".join(chunks))
    described = {
        "version": "1.0",
        "algorithm": "zlib",
        "comp_level": -1,
        "do_time_diff": time_diff,
        "do_spatial_diff": spatial_diff,
        "dtype": dtype,
        "n_channels": channels,
        "sample_rate": 30000.0,
        "chunk_bounds": bounds,
        "chunk_offsets": [0, *accumulate(map(len, chunks))],
        "chunk_order": order,
        "shape": [frames, channels],
    }
    (folder / f"{name}.ch").write_text(json.dumps(described, indent=2))
    return [samples]


def edf(
    path: Path,
    signals: Sequence[tuple[str, int]] = (
        ("Fp1", 100),
        ("Fp2", 100),
        ("EDF Annotations", 30),
        ("SaO2", 1),
        ("C3", 100),
    ),
    records: int = 7,
    duration: str = "0.5",
    listed: int | None = None,
    bdf: bool = False,
) -> np.ndarray:
    """EDF or BDF of signals with so many samples in a record each; returns those of the first one's rate."""
    usual = signals[0][1]
    head = b"\xffBIOSEMI" if bdf else b"0".ljust(8)
    head += b"X X X X".ljust(80) + b"Startdate 02-MAR-2024 X X X".ljust(80) + b"02.03.24" + b"10.20.30"
    head += str(256 * (1 + len(signals))).encode().ljust(8) + (b"24BIT" if bdf else b"EDF+C").ljust(44)
    head += str(records if listed is None else listed).encode().ljust(8) + duration.encode().ljust(8)
    head += str(len(signals)).encode().ljust(4)
    head += b"".join(label.encode().ljust(16) for label, _ in signals) + b" " * 80 * len(signals)
    head += b"uV".ljust(8) * len(signals) + b"-3276.8".ljust(8) * len(signals) + b"3276.7".ljust(8) * len(signals)
    head += b"-32768".ljust(8) * len(signals) + b"32767".ljust(8) * len(signals) + b" " * 80 * len(signals)
    head += b"".join(str(count).encode().ljust(8) for _, count in signals) + b" " * 32 * len(signals)
    wanted = [count == usual and "Annotations" not in label for label, count in signals]
    samples = noise(usual * records, sum(wanted), seed=usual).astype(np.int32 if bdf else np.int16)
    samples *= 200 if bdf else 1  # beyond 16 bits
    data, size = head, 3 if bdf else 2
    for record in range(records):
        columns = iter(samples[usual * record : usual * record + usual].T)
        for (_, count), column in zip(signals, wanted, strict=True):
            if column:
                words = next(columns).astype("<i4").view(np.uint8).reshape(-1, 4)
                data += words[:, :size].tobytes()
            else:
                data += bytes(range(record, record + 1)) * (count * size)
    path.write_bytes(data)
    return samples


def brainvision(
    folder: Path,
    form: str = "INT_16",
    orientation: str = "MULTIPLEXED",
    data_file: str = "$b.eeg",
    name: str = "subject",
    channels: int = 4,
    encoding: str = "utf-8",
    lines: str = "\r\n",
    frames: int = 500,
) -> Made:
    """A `.vhdr` with its markers and its data file, which is named as the header whatever the header contains."""
    dtype = {"INT_16": "<i2", "UINT_16": "<u2", "INT_32": "<i4", "IEEE_FLOAT_32": "<f4"}[form]
    samples = (noise(frames, channels, seed=len(form)).astype(np.float64) + (40000 if form == "UINT_16" else 0)).astype(
        dtype
    )
    text = [
        "Brain Vision Data Exchange Header File Version 1.0",
        "; Data created by the Vision Recorder",
        "",
        "[Common Infos]",
        f"Codepage={encoding.upper()}",
        f"DataFile={data_file}",
        "MarkerFile=subject.vmrk",
        "DataFormat=BINARY",
        f"DataOrientation={orientation}",
        f"NumberOfChannels={channels}",
        "SamplingInterval=200",
        *([f"DataPoints={frames}"] if orientation == "VECTORIZED" else []),
        "",
        "[Binary Infos]",
        f"BinaryFormat={form}",
        "",
        "[Channel Infos]",
        *(f"Ch{c + 1}=E{c + 1},,0.1,µV" for c in range(channels)),
    ]
    (folder / f"{name}.vhdr").write_bytes(lines.join(text).encode(encoding))
    (folder / f"{name}.vmrk").write_text(
        "Brain Vision Data Exchange Marker File\n[Marker Infos]\nMk1=Stimulus,S 1,1,1,0\n"
    )
    data = samples.T if orientation == "VECTORIZED" else samples
    (folder / f"{name}.eeg").write_bytes(np.ascontiguousarray(data).tobytes())
    return [samples]


ZONES = "ORDER LABCOD NOTE FLAGS TRONCA IMPED_B IMPED_E MONTAGE COMPRESS AVERAGE HISTORY DVIDEO".split()  # noqa: SIM905


def micromed(path: Path, channels: int = 5, itemsize: int = 2, frames: int = 600, version: int = 4) -> np.ndarray:
    """A `.TRC` whose channels are recorded at twice the slowest rate."""
    samples = (noise(frames, channels).astype(np.int32) + (32768 if itemsize == 2 else 128)).astype(f"<u{itemsize}")
    zones = [*ZONES, "EVENT A", "EVENT B", "TRIGGER"]
    at, areas, data = 640, b"", {"ORDER": 2 * channels, "LABCOD": 128 * channels, "TRONCA": 8}
    head = bytearray(b"* MICROMED  Brain-Quick file *".ljust(64) + b"Surname".ljust(22) + b"Name".ljust(20)).ljust(640)
    for zone in zones:
        areas += struct.pack("<8sII", zone.encode().ljust(8), at, data.get(zone, 0))
        at += data.get(zone, 0)
    size = at
    struct.pack_into("<6b", head, 128, 2, 3, 124, 10, 20, 30)
    struct.pack_into("<IHHHH", head, 138, size, channels, channels * itemsize, 256, itemsize)
    struct.pack_into("<b", head, 175, version)
    head[176 : 176 + len(areas)] = areas
    order = struct.pack(f"<{channels}H", *range(channels))
    labels = b"".join(
        struct.pack("<H6s6siiiiih8xH", 0, f"E{c}".encode(), b"G2", 0, 65535, 32768, -3200, 3200, 0, 2).ljust(128, b"\0")
        for c in range(channels)
    )
    path.write_bytes(bytes(head) + order + labels + bytes(8) + samples.tobytes())
    return samples


def _in(name: str, make: Callable[..., np.ndarray], **how: object) -> Callable[[Path], Made]:
    """A maker of one file as a maker in a folder."""
    return lambda folder: [make(folder / name, **how)]


def _spikeglx(folder: Path) -> Made:
    written = spikeglx(folder, frames=60)
    return [written[name] for name in sorted(written)]


def _open_ephys(folder: Path) -> Made:
    return list(open_ephys(folder, frames=120, recordings=2).values())


# All forms of all formats, by a name for the test: the reader, and the maker.
FORMS: dict[str, tuple[str, Callable[[Path], Made]]] = {
    "spikeglx": ("spikeglx", _spikeglx),
    "open ephys binary": ("openephysbinary", _open_ephys),
    "open ephys legacy": ("openephyslegacy", open_ephys_legacy),
    "neuralynx": ("neuralynx", neuralynx),
    "neuralynx without header": ("neuralynx", lambda folder: neuralynx(folder, headers=False)),
    "blackrock 2.1": ("blackrock", _in("a.ns2", blackrock, packets=(300,), spec=(2, 1))),
    "blackrock 2.3": ("blackrock", _in("a.ns5", blackrock)),
    "blackrock 3.0": ("blackrock", _in("a.ns6", blackrock, spec=(3, 0))),
    "blackrock ptp": ("blackrock", _in("a.ns6", blackrock, spec=(3, 0), packets=(1,) * 250, resolution=10**9)),
    "intan rhd": ("intan", _in("a.rhd", intan_single)),
    "intan rhd 1.0": ("intan", _in("a.rhd", intan_single, version=(1, 0))),
    "intan rhs": ("intan", _in("a.rhs", intan_single, stim=True)),
    "intan signals": ("intan", intan_signals),
    "intan signals rhs": ("intan", lambda folder: intan_signals(folder, stim=True)),
    "intan channels": ("intan", intan_channels),
    "edf": ("edf", _in("a.edf", edf)),
    "bdf": ("edf", _in("a.bdf", edf, bdf=True)),
    "brainvision": ("brainvision", brainvision),
    "brainvision vectorized": ("brainvision", lambda folder: brainvision(folder, "IEEE_FLOAT_32", "VECTORIZED")),
    "micromed": ("micromed", _in("a.TRC", micromed)),
    "mtscomp": ("mtscomp", mtscomp),
    "mtscomp spatial": ("mtscomp", lambda folder: mtscomp(folder, spatial_diff=True, order="C")),
}
