"""The Zarr 3 codec, against zarr-python 3: arrays, shards, partial reads, exchange with Zarr 2, damage."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import numpy as np
import pytest

from kit.paths import GOLDEN

zarr = pytest.importorskip("zarr", minversion="3")

from zarr.codecs import TransposeCodec  # noqa: E402
from zarr.registry import get_codec_class  # noqa: E402

from spikey.base.errors import DamagedError, DataError, UsageError  # noqa: E402
from spikey.integrations import zarr as spikey_zarr  # noqa: E402
from spikey.integrations.chunk import Options  # noqa: E402
from spikey.integrations.zarr import NAME, SpikeyCodec  # noqa: E402
from spikey.recording.simulate import simulate  # noqa: E402

FOLDER = GOLDEN / "chunks"


def stored(path: object, array: np.ndarray, codec: SpikeyCodec | None = None, **options: object) -> zarr.Array:
    options = {"chunks": (1000, array.shape[1]), "compressors": None} | options
    return zarr.create_array(path, data=array, serializer=codec or SpikeyCodec(), **options)


@pytest.fixture
def chunk_spec(monkeypatch):
    """What Zarr hands to the codec with the first chunk of an array: `chunk_spec(array)`."""

    def of(array: np.ndarray) -> object:
        given = []

        def encode(self, chunk, spec):
            given.append(spec)
            return original(self, chunk, spec)

        original = SpikeyCodec._encode_sync
        with monkeypatch.context() as patched:
            patched.setattr(SpikeyCodec, "_encode_sync", encode)
            stored({}, array)
        return given[0]

    return of


LAYOUTS = {
    "plain": {},
    "channels apart": {"chunks": (1000, 2)},
    "transposed": {"filters": [TransposeCodec(order=(1, 0))]},
    "shards": {"chunks": (500, 5), "shards": (2000, 5)},
    "deflated again": {"compressors": "auto"},
    "fortran": {"config": {"order": "F"}},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["i2", ">i2", "u2", "i4", "i8", "f4", "c8", "bool", "M8[s]"])
def test_arrays(tmp_path, layout, dtype):
    array = (simulate(2500, 5, seed=1).astype("i4") + 9999).astype(dtype)
    stored(tmp_path / "a", array, **LAYOUTS[layout])
    again = zarr.open_array(tmp_path / "a")
    np.testing.assert_array_equal(again[:], array)
    np.testing.assert_array_equal(again[900:1100, 3], array[900:1100, 3])
    again[990:1010, 1] = array[:20, 1]
    array[990:1010, 1] = array[:20, 1]
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a", mode="r")[:], array)


@pytest.mark.filterwarnings("ignore:The data type")
def test_structured_elements(tmp_path):
    array = np.zeros((300, 2), dtype=[("a", "i2"), ("b", "f4")])
    array["a"] = np.arange(600).reshape(300, 2)
    stored(tmp_path / "a", array, chunks=(100, 2))
    assert zarr.open_array(tmp_path / "a")[:].tobytes() == array.tobytes()


def test_metadata_and_configuration(tmp_path):
    stored(tmp_path / "a", simulate(1000, 2, seed=2), SpikeyCodec(preset="balanced", jobs=2))
    meta = json.loads((tmp_path / "a" / "zarr.json").read_text())
    assert meta["codecs"] == [{"name": "spikey", "configuration": {"preset": "balanced", "jobs": 2}}]
    codec = SpikeyCodec.from_dict(meta["codecs"][0])
    assert codec == SpikeyCodec(preset="balanced", jobs=2) and codec.options == Options("balanced", jobs=2)
    assert SpikeyCodec().to_dict() == {"name": NAME}
    assert SpikeyCodec.from_dict({"name": NAME}) == SpikeyCodec() and hash(SpikeyCodec()) == hash(SpikeyCodec())


def test_by_name(tmp_path):
    array = simulate(1000, 2, seed=3)
    serializer = {"name": NAME, "configuration": {"preset": "balanced"}}
    zarr.create_array(tmp_path / "a", data=array, serializer=serializer, compressors=None)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a")[:], array)
    assert get_codec_class(NAME) is SpikeyCodec


def test_the_package_is_found_without_importing_it(tmp_path):
    array = simulate(1000, 2, seed=4)
    stored(tmp_path / "a", array)
    program = "import sys, zarr; print(int(zarr.open_array(sys.argv[1])[:].astype(int).sum()))"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == array.astype(int).sum()


def test_the_asynchronous_way(tmp_path):
    array = simulate(4000, 3, seed=5)

    async def round_trip() -> np.ndarray:
        created = await zarr.api.asynchronous.create_array(
            tmp_path / "a",
            shape=array.shape,
            dtype=array.dtype,
            chunks=(1000, 3),
            serializer=SpikeyCodec(),
            compressors=None,
        )
        await created.setitem(slice(None), array)
        opened = await zarr.api.asynchronous.open_array(store=tmp_path / "a")
        return np.asarray(await opened.getitem(slice(None)))

    np.testing.assert_array_equal(asyncio.run(round_trip()), array)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_pipeline_without_a_loop_of_events(tmp_path, layout):
    """Zarr 3.4 has a second pipeline, which calls codecs from its own threads."""
    pipeline = "zarr.core.codec_pipeline.FusedCodecPipeline"
    if not hasattr(zarr.core.codec_pipeline, "FusedCodecPipeline"):
        pytest.skip("this Zarr has one pipeline")
    array = simulate(2500, 5, seed=1)
    with zarr.config.set({"codec_pipeline.path": pipeline}):
        stored(tmp_path / "a", array, **LAYOUTS[layout])
        opened = zarr.open_array(tmp_path / "a")
        np.testing.assert_array_equal(opened[:], array)
        np.testing.assert_array_equal(opened[900:1100, 3], array[900:1100, 3])
        opened[990:1010, 1] = array[:20, 1]
    array[990:1010, 1] = array[:20, 1]
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a", mode="r")[:], array)


def test_the_synchronous_way(chunk_spec):
    codec = SpikeyCodec()
    protocol = getattr(zarr.abc.codec, "SupportsSyncCodec", None)  # which came with 3.1.6
    assert protocol is None or isinstance(codec, protocol)
    array = simulate(1000, 3, seed=6)
    spec = chunk_spec(array)
    encoded = codec._encode_sync(spec.prototype.nd_buffer.from_numpy_array(array), spec)
    np.testing.assert_array_equal(codec._decode_sync(encoded, spec).as_numpy_array(), array)
    with pytest.raises(NotImplementedError):
        codec.compute_encoded_size(2000, spec)


def test_reading_a_part_of_a_shard_decodes_only_what_holds_it(tmp_path, monkeypatch):
    array = simulate(8000, 4, seed=7)
    stored(tmp_path / "a", array, chunks=(500, 2), shards=(4000, 4))
    decoded = []
    original = spikey_zarr.decode_chunk

    def counted(*arguments):
        decoded.append(1)
        return original(*arguments)

    monkeypatch.setattr(spikey_zarr, "decode_chunk", counted)
    opened = zarr.open_array(tmp_path / "a")
    np.testing.assert_array_equal(opened[700:800, :2], array[700:800, :2])
    assert len(decoded) == 1
    np.testing.assert_array_equal(opened[900:1100], array[900:1100])
    assert len(decoded) == 1 + 4
    np.testing.assert_array_equal(opened[:, 3], array[:, 3])
    assert len(decoded) == 1 + 4 + 16


# --- exchange with Zarr 2: the chunks are the same, and a change of metadata is all it takes ---


@pytest.mark.parametrize("name", ["zarr2", "zarr2_fortran"])
def test_a_zarr_2_array_becomes_a_zarr_3_array(tmp_path, name):
    for file in (FOLDER / name).iterdir():
        if not file.name.startswith("."):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    old = json.loads((FOLDER / name / ".zarray").read_text())
    meta = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": old["shape"],
        "data_type": "int16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": old["chunks"]}},
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}},
        "codecs": [{"name": NAME}],
        "fill_value": 0,
    }
    (tmp_path / "zarr.json").write_text(json.dumps(meta))
    wanted = zarr.open_array(FOLDER / name, zarr_format=2, mode="r")[:]
    assert wanted.std() > 10
    np.testing.assert_array_equal(zarr.open_array(tmp_path, zarr_format=3)[:], wanted)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_zarr_3_array_becomes_a_zarr_2_array(tmp_path, order):
    array = np.asarray(simulate(2500, 3, seed=8), order=order)
    stored(tmp_path / "a", array, chunk_key_encoding={"name": "v2", "separator": "."}, config={"order": order})
    layout = {"dtype": "<i2", "fill_value": 0, "order": "C", "filters": None, "compressor": {"id": "spikey"}}
    meta = {"zarr_format": 2, "shape": [2500, 3], "chunks": [1000, 3], **layout}
    (tmp_path / "a" / ".zarray").write_text(json.dumps(meta))
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "a", zarr_format=2)[:], array)


def test_chunks_do_not_depend_on_memory_order(chunk_spec):
    """Zarr 2 takes what a codec gives it for the order that its metadata state."""
    array = simulate(600, 3, seed=12)
    spec = chunk_spec(array)
    chunks = [spec.prototype.nd_buffer.from_numpy_array(np.asarray(array, order=order)) for order in "CF"]
    one, other = (SpikeyCodec()._encode_sync(chunk, spec).to_bytes() for chunk in chunks)
    assert one == other


# --- what goes wrong ---


def test_a_damaged_chunk_on_disk(tmp_path):
    array = simulate(2000, 2, seed=9)
    stored(tmp_path / "a", array)
    chunk = tmp_path / "a" / "c" / "1" / "0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    opened = zarr.open_array(tmp_path / "a")
    np.testing.assert_array_equal(opened[:1000], array[:1000])
    with pytest.raises(DamagedError, match="restore it from a copy"):
        opened[1500]


def test_a_chunk_of_another_array(tmp_path):
    stored(tmp_path / "a", simulate(1000, 2, seed=10))
    stored(tmp_path / "b", simulate(1000, 3, seed=10))
    (tmp_path / "a" / "c" / "0" / "0").write_bytes((tmp_path / "b" / "c" / "0" / "0").read_bytes())
    with pytest.raises(DataError, match="belongs to another array"):
        zarr.open_array(tmp_path / "a")[:]


def test_elements_without_bytes_and_options_of_the_future(tmp_path):
    with pytest.raises((UsageError, ValueError), match="VLenUTF8Codec|cannot hold"):
        zarr.create_array(tmp_path / "a", shape=(10,), dtype=str, serializer=SpikeyCodec())
    with pytest.raises(UsageError, match="git pull, then pip install -e"):
        zarr.create_array(
            tmp_path / "b", shape=(10,), dtype="i2", serializer={"name": NAME, "configuration": {"ahead": 1}}
        )


PARTS = {
    "one channel": lambda array: array[:, 41],
    "frames of one channel": lambda array: array[900:1100, 41],
    "some channels": lambda array: array[100:2400, 3:9],
    "a step": lambda array: array[::3, 1:40:7],
    "one sample": lambda array: array[1500, 69],
    "all channels": lambda array: array[1400:1600],
    "nothing": lambda array: array[5:5, 3],
    "orthogonal": lambda array: (array.oindex if hasattr(array, "oindex") else _Orthogonal(array))[
        [3, 1700, 9], [69, 2]
    ],
    "a mask": lambda array: (array.oindex if hasattr(array, "oindex") else _Orthogonal(array))[
        :, np.arange(70) % 31 == 3
    ],
    "pairs": lambda array: (array.vindex if hasattr(array, "vindex") else array)[[3, 1700, 9], [69, 2, 2]],
}


class _Orthogonal:
    def __init__(self, array):
        self._array = array

    def __getitem__(self, key):
        rows, columns = key
        return self._array[rows][:, columns]


@pytest.mark.parametrize("layout", ["plain", "channels apart", "shards", "deflated again"])
def test_parts(tmp_path, layout):
    samples = simulate(2500, 70, seed=4)
    options = {"chunks": (1000, 70)} | LAYOUTS[layout]
    if layout != "plain":
        options = {
            key: (value[0], value[1] * 14) if key in ("chunks", "shards") else value for key, value in options.items()
        }
    array = stored(tmp_path / "a", samples, **options)
    for name, part in PARTS.items():
        np.testing.assert_array_equal(part(array), part(samples), name)


def test_one_channel_takes_a_part_of_the_bytes_and_of_the_groups(tmp_path, monkeypatch):
    samples = simulate(24_000, 96, seed=4)
    asked, decoded = [], []
    original, engine = zarr.storage.LocalStore.get, spikey_zarr.decode_part.__globals__["decode_some"].__globals__

    async def get(self, key, prototype=None, byte_range=None):
        found = await original(self, key, prototype, byte_range)
        asked.append(0 if found is None else len(found))
        return found

    def some(payload, lookup, channels):
        decoded.append(list(channels))
        return engine["_grouped"](payload).decode_some(payload, lookup, channels)

    for options in ({"chunks": (12_000, 96)}, {"chunks": (12_000, 96), "shards": (24_000, 96)}):
        array = stored(tmp_path / f"{len(options)}", samples, **options)
        size = sum(path.stat().st_size for path in (tmp_path / f"{len(options)}").rglob("c/**/*") if path.is_file())
        monkeypatch.setattr(zarr.storage.LocalStore, "get", get)
        monkeypatch.setattr("spikey.integrations.chunk_part.decode_some", some)
        np.testing.assert_array_equal(array[:, 41], samples[:, 41])
        assert decoded == [[41], [41]]
        if len(options) == 1:  # of a shard, Zarr itself fetches whole inner chunks
            assert sum(asked) < size * 0.6
        monkeypatch.undo()
        decoded.clear()
    with pytest.raises(DamagedError, match="restore it from a copy"):
        path = tmp_path / "1" / "c" / "0" / "0"
        data = bytearray(path.read_bytes())
        data[-40_000:] = bytes(40_000)
        path.write_bytes(data)
        for channel in range(96):
            zarr.open_array(tmp_path / "1")[:, channel]
