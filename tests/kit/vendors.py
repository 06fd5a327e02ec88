"""Small files as vendors' software writes them, from their format documents; the samples are known."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

IMRO = "(0,384)" + "".join(f"({c} 0 0 500 250 1)" for c in range(384))


def noise(frames: int, channels: int, seed: int = 0, step: int = 1) -> np.ndarray:
    """Correlated noise, int16 (frames, channels), multiples of `step`."""
    white = np.random.default_rng(seed).normal(0, 12, (frames + 1, channels))
    return (np.round(white[1:] + 0.7 * white[:-1]) * step).astype(np.int16)


def spikeglx(
    folder: Path, run: str = "run", frames: int = 900, triggers: int = 1, lf: bool = True, nidq: bool = True
) -> dict[str, np.ndarray]:
    """A Neuropixels 1.0 run: AP and LF of 384 channels and the sync channel, NIDQ of 8 analog channels and one digital
    word. Returns the samples of each `.bin` by its path below `folder`.
    """
    written = {}
    probe = Path(f"{run}_g0") / f"{run}_g0_imec0"
    for trigger in range(triggers):
        for band, rate, count in (("ap", 30000, frames), ("lf", 2500, frames // 12))[: 2 if lf else 1]:
            samples = np.hstack([noise(count, 384, seed=trigger), np.zeros((count, 1), np.int16)])
            samples[:, 5] = 0  # a dead channel
            samples[:, 6] = np.clip(samples[:, 6], -9, 9)  # a saturated one
            samples[count // 2 :, 384] = 64  # the sync line goes up
            name = probe / f"{run}_g0_t{trigger}.imec0.{band}.bin"
            counts = (384, 0, 1) if band == "ap" else (0, 384, 1)
            meta = {
                "acqApLfSy": "384,384,1",
                "appVersion": 20230905,
                "fileName": f"D:/data/{name.as_posix()}",
                "fileSizeBytes": samples.nbytes,
                "fileTimeSecs": count / rate,
                "firstSample": 1000 * trigger,
                "imAiRangeMax": 0.6,
                "imAiRangeMin": -0.6,
                "imDatPrb_pn": "NP1010",
                "imDatPrb_port": 1,
                "imDatPrb_slot": 2,
                "imDatPrb_sn": 19011116444,
                "imDatPrb_type": 0,
                "imMaxInt": 512,
                "imSampRate": rate,
                "nSavedChans": 385,
                "snsApLfSy": ",".join(map(str, counts)),
                "snsSaveChanSubset": "all",
                "typeThis": "imec",
                "~imroTbl": IMRO,
                "~snsChanMap": "".join(
                    [f"({counts[0]},{counts[1]},1)"]
                    + [f"({band.upper()}{c};{c + (384 if band == 'lf' else 0)}:{c})" for c in range(384)]
                    + ["(SY0;768:384)"]
                ),
            }
            written[name.as_posix()] = samples
            _spikeglx_pair(folder / name, samples, meta)
        if nidq:
            samples = np.hstack([noise(frames, 8, seed=9 + trigger), np.zeros((frames, 1), np.int16)])
            samples[100:200, 8] = 5  # the digital word
            name = Path(f"{run}_g0") / f"{run}_g0_t{trigger}.nidq.bin"
            meta = {
                "fileName": f"D:/data/{name.as_posix()}",
                "fileSizeBytes": samples.nbytes,
                "fileTimeSecs": frames / 25000,
                "firstSample": 900 * trigger,
                "nSavedChans": 9,
                "niAiRangeMax": 5,
                "niAiRangeMin": -5,
                "niMAGain": 1,
                "niMNGain": 200,
                "niSampRate": 25000,
                "niXDBytes1": 1,
                "niXDChans1": "0:2",
                "snsMnMaXaDw": "0,0,8,1",
                "snsSaveChanSubset": "all",
                "typeThis": "nidq",
                "~snsChanMap": "(0,0,1,8,1)" + "".join(f"(XA{c};{c}:{c})" for c in range(8)) + "(XD0;8:8)",
            }
            written[name.as_posix()] = samples
            _spikeglx_pair(folder / name, samples, meta)
    return written


def _spikeglx_pair(path: Path, samples: np.ndarray, meta: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(samples.astype("<i2").tobytes())
    path.with_suffix(".meta").write_bytes("".join(f"{key}={value}\r\n" for key, value in meta.items()).encode())


def open_ephys(folder: Path, frames: int = 800, recordings: int = 1) -> dict[str, np.ndarray]:
    """An Open Ephys binary folder of GUI 0.6: a stream of 6 channels and 2 auxiliary ones, one of a probe with a sync
    channel, and TTL events.
    """
    written = {}
    node = folder / "Record Node 101"
    for number in range(1, recordings + 1):
        home = node / "experiment1" / f"recording{number}"
        streams = []
        for stream, rate, names in (
            ("Acquisition_Board-100.Rhythm Data", 30000, [f"CH{c}" for c in range(6)] + ["ADC1", "ADC2"]),
            ("Neuropix-PXI-103.ProbeA", 30000, [f"CH{c}" for c in range(12)] + ["PROBE_SYNC"]),
        ):
            samples = noise(frames, len(names), seed=number, step=12 if "Neuropix" in stream else 1)
            if "SYNC" in names[-1]:
                samples[:, -1] = np.arange(frames) // 100 % 2 * 64
            place = home / "continuous" / stream
            place.mkdir(parents=True)
            (place / "continuous.dat").write_bytes(samples.astype("<i2").tobytes())
            np.save(place / "sample_numbers.npy", np.arange(frames, dtype=np.int64) + 7000)
            np.save(place / "timestamps.npy", (np.arange(frames) + 7000) / rate)
            written[(place / "continuous.dat").relative_to(folder).as_posix()] = samples
            streams.append(
                {
                    "folder_name": f"{stream}/",
                    "sample_rate": rate,
                    "source_processor_name": stream.split("-")[0],
                    "source_processor_id": 100,
                    "stream_name": stream.split(".")[1],
                    "num_channels": len(names),
                    "channels": [
                        {
                            "channel_name": name,
                            "description": "a channel",
                            "identifier": "continuous.sample",
                            "history": "",
                            "bit_volts": 0.195,
                            "units": "V" if "ADC" in name else "uV",
                        }
                        for name in names
                    ],
                }
            )
        events = home / "events" / "Acquisition_Board-100.Rhythm Data" / "TTL"
        events.mkdir(parents=True)
        np.save(events / "states.npy", np.array([1, -1], dtype=np.int16))
        np.save(events / "sample_numbers.npy", np.array([7100, 7200], dtype=np.int64))
        np.save(events / "timestamps.npy", np.array([7100, 7200]) / 30000)
        np.save(events / "full_words.npy", np.array([1, 0], dtype=np.uint64))
        structure = {
            "GUI version": "0.6.4",
            "continuous": streams,
            "events": [
                {
                    "folder_name": "Acquisition_Board-100.Rhythm Data/TTL/",
                    "channel_name": "Rhythm Data TTL",
                    "description": "TTL",
                    "identifier": "sourceevent",
                    "sample_rate": 30000,
                    "type": "int16",
                    "source_processor": "Acquisition_Board",
                    "stream_name": "Rhythm Data",
                    "initial_state": 0,
                }
            ],
            "spikes": [],
        }
        (home / "structure.oebin").write_text(json.dumps(structure, indent=4))
    (node / "settings.xml").write_text("<SETTINGS><INFO><VERSION>0.6.4</VERSION></INFO></SETTINGS>")
    return written


def intan(path: Path, blocks: int = 6, channels: int = 4) -> np.ndarray:
    """An Intan RHD file of version 2.0 with its header attached; returns the samples of its amplifiers, uint16."""
    samples = (noise(128 * blocks, channels).astype(np.int32) + 32768).astype(np.uint16)
    body = b""
    for block in range(blocks):
        frames = slice(128 * block, 128 * block + 128)
        body += np.arange(frames.start, frames.stop, dtype="<i4").tobytes() + samples[frames].T.astype("<u2").tobytes()
    path.write_bytes(_intan_header(2, channels) + body)
    return samples


def _intan_header(version: int, channels: int) -> bytes:
    header = struct.pack("<Ihh", 0xC6912702, version, 0)
    header += struct.pack("<fhffffffhff", 20000.0, 1, 1.0, 0.1, 7500.0, 1.0, 0.1, 7500.0, 0, 1000.0, 1000.0)
    header += 3 * _qstring("") + struct.pack("<hh", 0, 0) + _qstring("") + struct.pack("<h", 1)
    header += _qstring("Port A") + _qstring("A") + struct.pack("<hhh", 1, channels, channels)
    for c in range(channels):
        header += _qstring(f"A-{c:03}") + _qstring(f"A-{c:03}")
        header += struct.pack("<hhhhhhhhhhff", c, c, 0, 1, c, 0, 0, 0, 0, 0, 1e5, -60.0)
    return header


def _qstring(text: str) -> bytes:
    data = text.encode("utf-16-le")
    return struct.pack("<I", len(data)) + data if data else b"\xff\xff\xff\xff"


def blackrock(path: Path, frames: int = 1000, channels: int = 5) -> np.ndarray:
    """A Blackrock file of specification 2.3 with one packet of data."""
    size = 314 + 66 * channels
    header = struct.pack("<8sBBI16s256sII", b"NEURALCD", 2, 3, size, b"raw", b"made for a test", 1, 30000)
    header += struct.pack("<8HI", 2024, 3, 0, 15, 12, 30, 0, 0, channels)
    for c in range(channels):
        header += struct.pack(
            "<2sH16sBB4h16s", b"CC", c + 1, f"elec{c + 1}".encode(), 1, c, -8192, 8191, -8191, 8191, b"uV"
        )
        header += struct.pack("<IIHIIH", 300, 1, 1, 7500000, 3, 1)
    assert len(header) == size
    samples = noise(frames, channels)
    path.write_bytes(header + struct.pack("<BII", 1, 0, frames) + samples.astype("<i2").tobytes())
    return samples


def nwb(
    path: Path, frames: int = 1500, channels: int = 3, dtype: str = "int16", compressed: bool = False
) -> np.ndarray:
    """An NWB file with one ElectricalSeries, written by pynwb; `compressed`: with Spikey's HDF5 filter."""
    from datetime import UTC, datetime

    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.ecephys import ElectricalSeries

    file = NWBFile(session_description="a test", identifier="test", session_start_time=datetime(2024, 1, 1, tzinfo=UTC))
    device = file.create_device(name="probe")
    group = file.create_electrode_group(name="shank0", description="one", location="cortex", device=device)
    for c in range(channels):
        file.add_electrode(x=0.0, y=20.0 * c, z=0.0, location="cortex", group=group)
    region = file.create_electrode_table_region(region=list(range(channels)), description="all of them")
    samples = noise(frames, channels).astype(dtype)
    data: object = samples
    if compressed:
        from hdmf.backends.hdf5.h5_utils import H5DataIO

        from spikey.integrations.hdf5 import Filter

        keywords = dict(Filter())
        data = H5DataIO(
            samples,
            chunks=(500, channels),
            compression=keywords["compression"],
            compression_opts=keywords["compression_opts"],
            allow_plugin_filters=True,
        )
    series = ElectricalSeries(name="ElectricalSeries", data=data, electrodes=region, rate=25000.0, conversion=2e-7)
    file.add_acquisition(series)
    with NWBHDF5IO(path, "w") as out:
        out.write(file)
    return samples


def intan_folder(folder: Path, frames: int = 700, channels: int = 4) -> np.ndarray:
    """An Intan session in one file per signal, of software 3.0: header, amplifiers and time."""
    folder.mkdir()
    (folder / "info.rhd").write_bytes(_intan_header(3, channels))
    samples = noise(frames, channels)
    (folder / "amplifier.dat").write_bytes(samples.astype("<i2").tobytes())
    (folder / "time.dat").write_bytes(np.arange(frames, dtype="<i4").tobytes())
    return samples
