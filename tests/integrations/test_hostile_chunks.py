"""Forged chunks: nothing but what a chunk contains is ever given out, and what is wrong raises Spikey's own errors.

All checksums are right: whoever forges a chunk computes them.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from spikey.base.errors import DamagedError, DataError, UsageError
from spikey.base.limits import allowed
from spikey.base.wire import varint
from spikey.coding.packed_bytes import pack_bytes
from spikey.integrations import chunk, chunk_bytes, chunk_samples
from spikey.integrations.chunk import KINDS, Options, decode_chunk, encode_chunk
from spikey.integrations.chunk_samples import Coding
from spikey.model.calibration import n1
from spikey.recording.simulate import simulate

POISON = 0xA5
TYPES = [
    *("|b1", "|i1", "|u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">u4", "<i8", ">u8", "<f2", "<f4", ">f8", "<c8", ">c16"),
    *("<M8[ms]", "<m8[s]", "|S1", "|S7", "<U2", "|V1", "|V6"),
]
QUICK = Options(verify=False)


def forged(text: str, shape: tuple[int, ...], body: bytes, flags: int = chunk.GENERAL) -> bytes:
    """A chunk of that type, shape and body, its head's checksum right."""
    head = chunk.MARK + bytes([chunk.VERSION, flags, len(text)]) + text.encode()
    head += bytes([len(shape)]) + b"".join(map(varint, shape))
    return head + struct.pack("<I", zlib.crc32(head)) + body


def general(content: bytes, method: int = chunk_bytes.STORED) -> bytes:
    """The body of a chunk that stores its bytes."""
    body = bytes([method]) + content
    return body + struct.pack("<I", zlib.crc32(content, zlib.crc32(body)))


def of(dtype: str, shape: tuple[int, ...] = (64, 3)) -> np.ndarray:
    """An array of any type without a byte that the poison has."""
    values = (np.arange(np.prod(shape) * np.dtype(dtype).itemsize) % 90 + 1).astype(np.uint8)
    if np.dtype(dtype).kind == "U":
        return np.full(shape, "ab", dtype)
    return (values % 2 if dtype == "|b1" else values).view(dtype).reshape(shape)


@pytest.fixture
def poisoned(monkeypatch):
    """NumPy's uninitialised arrays are filled with a pattern, as a process that has run for a while has them."""

    def empty(shape, dtype=float, order="C", **rest):
        made = np.zeros(shape, dtype, order, **rest)
        if made.nbytes and made.dtype.kind != "O":
            made.reshape(-1, order="A").view(np.uint8)[:] = POISON
        return made

    monkeypatch.setattr(np, "empty", empty)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", TYPES)
def test_every_byte_of_every_type_is_written(dtype, order, poisoned):
    array = np.asarray(of(dtype), order=order)
    decoded = decode_chunk(encode_chunk(array, QUICK))
    assert (decoded.dtype, decoded.shape, decoded.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize("text", ["|S0", "<U0", "|V0"])
def test_elements_without_bytes_are_refused(text, poisoned):
    """NumPy makes elements of one byte of some of them, which nothing would fill."""
    with pytest.raises(DataError, match="cannot be stored in chunks"):
        decode_chunk(forged(text, (4096,), general(b"")))
    with pytest.raises(UsageError, match="no bytes of their own"):
        encode_chunk(np.ndarray((3,), text))


@pytest.mark.parametrize(
    "text",
    ["<M8[s/3]", "<M8[7D]", "<M8[w]", "<i3", "<f5", "|S999999999x", "<U999999999", ">S3", "|i2", "", "<", "é4", "|O8"],
)
def test_types_that_numpy_does_not_take(text):
    for shape in ((3,), (0,), (1 << 40,)):
        with pytest.raises(DataError):
            decode_chunk(forged(text.encode("latin-1").decode("latin-1"), shape, general(b"abc")))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "shape", [(1 << 62,), (1 << 62, 1 << 62), (0, 1 << 62, 1 << 62), (1 << 31, 1 << 30), (1,) * 99]
)
@pytest.mark.parametrize("method", [chunk_bytes.STORED, chunk_bytes.DEFLATED, chunk_bytes.LINES, 3])
def test_sizes_beyond_all_bounds(kind, shape, method):
    size = {"c": 8, "M": 8, "m": 8, "f": 4, "b": 1}.get(kind, 4)
    content = zlib.compress(bytes(100)) if method == chunk_bytes.DEFLATED else bytes(100)
    for flags in (chunk.GENERAL, chunk.GENERAL | chunk.FORTRAN, 0, chunk.FORTRAN):
        text = f"{'|' if kind in 'bSV' else '<'}{kind}{size}" + ("[s]" if kind in "Mm" else "")
        with pytest.raises(DataError):
            decode_chunk(forged(text, shape, general(content, method), flags))


def test_a_stream_that_cannot_give_so_much_is_not_inflated():
    content = zlib.compress(bytes(1 << 20))
    with pytest.raises(DataError, match="cannot contain"):
        decode_chunk(forged("|u1", (1 << 31,), general(content, chunk_bytes.DEFLATED)))


def test_lines_that_cannot_give_so_much_are_refused():
    piece = pack_bytes(np.arange(1 << 19, dtype="<i8").tobytes(), 8)
    content = varint(len(piece)) + piece
    for count, more, says in (
        ((1 << 19) + 1, b"", "ends 1 bytes too early"),
        (1 << 24, content, "too early"),
        (1 << 28, b"", "cannot contain"),
        (1 << 19, b"\0", "too long"),
        (1 << 19, b"", "fails its checksum"),
        (3, b"", "fails its checksum"),
    ):
        with pytest.raises(DamagedError, match=says):
            decode_chunk(forged("<i8", (count,), general(content + more, chunk_bytes.LINES)))
    for broken in (b"\xff" * 11, varint(1 << 40), varint(3) + b"\3\0\7", varint(0)):
        with pytest.raises(DamagedError, match="cannot be unpacked"):
            decode_chunk(forged("<i8", (9,), general(broken, chunk_bytes.LINES)))


def test_a_chunk_larger_than_is_allowed_is_refused_on_both_sides(monkeypatch):
    array = np.zeros(5000)
    data = encode_chunk(array)
    monkeypatch.setattr(allowed, "chunk", 39_999)
    with pytest.raises(DataError, match="SPIKEY_MOST_CHUNK=40000"):
        decode_chunk(data)
    with pytest.raises(DataError, match="SPIKEY_MOST_CHUNK=40000"):
        encode_chunk(array)
    monkeypatch.setattr(allowed, "chunk", 40_000)
    assert decode_chunk(data).nbytes == 40_000


def test_no_memory_is_an_error_of_spikeys_own(monkeypatch):
    def full(*_):
        raise MemoryError

    data = encode_chunk(np.zeros(5000))
    monkeypatch.setattr(chunk_bytes, "unpack_elements", full)
    with pytest.raises(DataError, match="does not fit into memory"):
        decode_chunk(data)


def test_what_is_expected_is_compared_before_anything_is_decoded(monkeypatch):
    monkeypatch.setattr(chunk, "decode_samples", None)
    monkeypatch.setattr(chunk_bytes, "unpack_elements", None)

    def fits(dtype, shape):
        raise DataError(f"{dtype} {shape}")

    for array in (np.zeros((64, 2), "i2"), np.zeros(5)):
        data = encode_chunk(array, QUICK)
        with pytest.raises(DataError, match=str(array.dtype)):
            decode_chunk(data, 1, fits)


# --- samples: what the head has of their blocks ---


def sampled(
    payloads: list[bytes], parts: list[np.ndarray], shape: tuple[int, ...], coding: Coding, text: str = "<i2"
) -> bytes:
    """A chunk of these payloads, all of its checksums right; parts: what they decode to."""
    head, check = chunk._head(coding.flags, np.dtype(text), shape, coding.write())
    blocks = [
        (payload, zlib.crc32(payload, zlib.crc32(part.tobytes())))
        for payload, part in zip(payloads, parts, strict=True)
    ]
    return head + chunk_samples.EncodedSamples(coding, blocks).body(check)


ZEROS = np.zeros((20, 2), "<i2")
STORED = b"\0" + ZEROS.tobytes()


def cut(full: tuple[int, int], *sizes: int) -> Coding:
    return Coding(full=full, sizes=sizes)


def test_honest_forgeries_are_read():
    assert (decode_chunk(sampled([STORED], [ZEROS], (20, 2), Coding())) == ZEROS).all()
    halves = [b"\0" + ZEROS[:10].tobytes()] * 2
    assert (decode_chunk(sampled(halves, [ZEROS[:10]] * 2, (20, 2), cut((10, 2), 41, 41))) == ZEROS).all()


@pytest.mark.parametrize(
    ("shape", "coding", "text"),
    [
        ((20, 2), cut((0, 2), 81), "<i2"),
        ((20, 2), cut((20, 0), 81), "<i2"),
        ((20, 2), cut((21, 2), 81), "<i2"),
        ((20, 2), cut((20, 3), 81), "<i2"),
        ((20, 2), cut((10, 2), 81), "<i2"),  # of two blocks
        ((20, 2), cut((20, 2), 80), "<i2"),
        ((20, 2), cut((20, 2), 82), "<i2"),
        ((20, 2), cut((10, 2), 81 + 4, 0), "<i2"),
        ((20, 2), cut((20, 2), 1 << 61), "<i2"),
        ((20, 2), cut((1, 1)), "<i2"),
        ((1 << 20, 8), cut((1 << 20, 8), 81), "<i2"),  # samples in a block
        ((1 << 20, 8), Coding(), "<i2"),
        ((1 << 30, 1), cut((1, 1), 81), "<i2"),
        ((16, 1 << 25), cut((16, 1), 81), "|i1"),  # channels
        ((0, 2), Coding(), "<i2"),
        ((0, 2), cut((1, 2)), "<i2"),
        ((20, 2), Coding(), "<f2"),
        ((10, 2), Coding(), "<f4"),
        ((20, 2), Coding(), "<M8[s]"),
        ((20, 2), Coding(), "<i4"),
        ((5, 2), Coding(), "<i8"),
        ((), Coding(), "<i2"),
        ((20,) * 40, Coding(), "|i1"),
    ],
)
def test_blocks_that_cannot_be_are_refused_without_making_room(shape, coding, text, monkeypatch):
    zeros = np.zeros

    def refuse(shape, *arguments):
        assert np.prod(shape) <= 40, f"made room for {shape}"
        return zeros(shape, *arguments)

    data = sampled([STORED], [ZEROS], shape, coding, text)
    monkeypatch.setattr(np, "zeros", refuse)
    with pytest.raises(DataError) as caught:
        decode_chunk(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"\0" + bytes(79), "stored with a wrong size"),
        (b"\5" + bytes(30), "a method that this version does not support"),
        (b"\x0f\0", "a method that this version does not support"),
        (b"\x41\1", "too early"),
        (b"\x44\1" + bytes(9), "needs a model"),
        (b"\x41\1" + b"\x08\x10" * 2 + bytes(9), "needs a calibration"),
        (b"\x41\1" + bytes(99), "more than its samples have"),
    ],
)
def test_payloads_that_cannot_be(payload, says):
    with pytest.raises(DamagedError, match=says) as caught:
        decode_chunk(sampled([payload], [ZEROS], (20, 2), Coding()))
    assert caught.value.ranges == [(0, 20, 0, 2)]


def test_blocks_belong_to_their_place_and_their_chunk():
    halves = [b"\0" + half.tobytes() for half in (of("<i2", (10, 2)), ZEROS[:10])]
    data = sampled(halves, [of("<i2", (10, 2)), ZEROS[:10]], (20, 2), cut((10, 2), 41, 41))
    decode_chunk(data)
    head, one, other = data[:-90], data[-90:-45], data[-45:]
    with pytest.raises(DamagedError, match="frames 0 to 9 of channels 0 to 1 fail their checksum"):
        decode_chunk(head + other + one)
    foreign = sampled(halves, [of("<i2", (10, 2)), ZEROS[:10]], (1, 20, 2), cut((10, 2), 41, 41))
    with pytest.raises(DamagedError, match="fail their checksum"):
        decode_chunk(head + foreign[-90:])


def test_flags_that_contradict_each_other():
    text, shape = np.dtype("<i2"), (20, 2)
    for flags in (64, 128, chunk.GENERAL | chunk_samples.CALIBRATED, chunk.GENERAL | chunk_samples.CUT):
        head, _ = chunk._head(flags, text, shape)
        with pytest.raises(DataError, match="a feature that this version does not support"):
            decode_chunk(head + general(bytes(80)))
    head, _ = chunk._head(chunk_samples.EMBEDDED, text, shape, b"\5\1a")
    with pytest.raises(DataError):
        decode_chunk(head + STORED + bytes(4))


def test_calibrations_and_models_that_are_not_there():
    for coding in (Coding(calibration=b"none"), Coding(model=b"none")):
        with pytest.raises(DataError, match="6e6f6e65 is needed and was not found") as caught:
            decode_chunk(sampled([STORED], [ZEROS], (20, 2), coding))
        assert not isinstance(caught.value, DamagedError)


def test_calibrations_in_a_chunk_that_cannot_be():
    file = n1().to_bytes()
    packed = pack_bytes(file, 4)
    for coding, says in (
        (Coding(b"none", (len(file), packed)), f"names calibration 6e6f6e65 but contains {n1().id.hex()}"),
        (Coding(n1().id, (len(file) - 1, packed)), "were packed"),
        (Coding(n1().id, (len(file) + 1, packed)), "were packed"),
        (Coding(n1().id, (len(file), packed[:-99])), "were packed"),
        (Coding(n1().id, (len(file), b"garbage")), "by a method that this version does not support"),
        (Coding(n1().id, (7, b"\1garbage")), "cannot be unpacked"),
        (Coding(n1().id, (1000, pack_bytes(bytes(1 << 26)))), "more than the 1000 bytes that were packed"),
        (Coding(n1().id, (9, b"\0something")), "is not a safetensors file"),
        (Coding(n1().id, (1 << 21, packed)), "damaged at its beginning"),
    ):
        with pytest.raises(DataError, match=says) as caught:
            decode_chunk(sampled([STORED], [ZEROS], (20, 2), coding))
        assert "\n" not in str(caught.value)
    data = sampled([STORED], [ZEROS], (20, 2), Coding(n1().id, (len(file), packed)))
    assert (decode_chunk(data) == ZEROS).all()


def test_work_beyond_the_limit_is_refused(monkeypatch):
    data = encode_chunk(simulate(400, 7, seed=9), Options(model="n1-fixed"))
    assert data[4] & chunk_samples.TRAINED
    monkeypatch.setattr(allowed, "work", 1000)
    with pytest.raises(DataError, match="SPIKEY_MOST_WORK"):
        decode_chunk(data)


# --- numcodecs, Zarr and HDF5 compare with what they are to fill ---


def _filled(shape: tuple[int, ...], dtype: str, order: str = "C") -> np.ndarray:
    out = np.zeros(shape, dtype, order)
    out.reshape(-1, order="A").view(np.uint8)[:] = POISON
    return out


@pytest.mark.parametrize("dtype", TYPES)
def test_numcodecs_fills_every_byte(dtype, poisoned):
    pytest.importorskip("numcodecs")
    from spikey.integrations.numcodecs import Spikey

    array = of(dtype)
    for own, other in (("C", "C"), ("F", "F"), ("C", "F"), ("F", "C")):
        encoded = Spikey(verify=False).encode(np.asarray(array, order=own))
        out = _filled(array.shape, dtype, other)
        Spikey().decode(encoded, out=out)
        assert out.tobytes() == array.tobytes()
    flat = _filled((array.nbytes,), "u1")
    Spikey().decode(Spikey(verify=False).encode(array), out=flat)
    assert flat.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("|S0", (2048,)),
        ("<u2", (1024, 2)),
        ("<i2", (2048, 1, 2)),
        (">i2", (1024, 2)),
        ("<i2", (2, 1024)),
        ("<f4", (1024,)),
    ],
)
def test_numcodecs_refuses_what_is_not_for_its_output(text, shape):
    pytest.importorskip("numcodecs")
    from spikey.integrations.numcodecs import Spikey

    size = int(np.prod(shape)) * int(text[2:])
    out = _filled((1024, 2), "<i2")
    with pytest.raises(DataError):
        Spikey().decode(forged(text, shape, general(bytes(size))), out=out)
    assert (out.view(np.uint8) == POISON).all()


@pytest.mark.parametrize("text", ["|S0", "|u1"])
def test_zarr_gives_nothing_that_is_not_in_the_chunk(tmp_path: Path, text):
    zarr = pytest.importorskip("zarr")
    codec = pytest.importorskip("spikey.integrations.numcodecs").Spikey()
    array = np.arange(4096, dtype="<i2").reshape(2048, 2)
    options = {"shape": array.shape, "dtype": "<i2", "chunks": (1024, 2)}
    if zarr.__version__.startswith("2."):
        stored = zarr.open(str(tmp_path / "a"), mode="w", compressor=codec, **options)
    else:
        stored = zarr.create_array(str(tmp_path / "a"), zarr_format=2, compressors=codec, **options)
    stored[:] = array
    (tmp_path / "a" / "1.0").write_bytes(forged(text, (2048,), general(bytes(2048 * int(text[2:])))))
    opened = zarr.open(str(tmp_path / "a"), mode="r")
    assert (opened[:1024] == array[:1024]).all()
    for read in (lambda: opened[1024:], lambda: opened[1500:1600, 1]):
        with pytest.raises((DataError, ValueError)):
            read()


@pytest.mark.parametrize(
    ("text", "shape"), [("|S0", (1024, 2)), ("|u1", (4096,)), ("<u2", (1024, 2)), ("<i2", (2048,))]
)
def test_zarr_3_gives_nothing_that_is_not_in_the_chunk(tmp_path: Path, text, shape):
    zarr = pytest.importorskip("zarr", "3")
    from spikey.integrations.zarr import SpikeyCodec

    array = np.arange(4096, dtype="<i2").reshape(2048, 2)
    stored = zarr.create_array(
        tmp_path / "a", data=array, chunks=(1024, 2), serializer=SpikeyCodec(), compressors=None, filters=None
    )
    body = general(bytes(int(np.prod(shape)) * int(text[2:])))
    (tmp_path / "a" / "c" / "1" / "0").write_bytes(forged(text, shape, body))
    assert (stored[:1024] == array[:1024]).all()
    with pytest.raises(DataError):
        stored[1024:]


HDF5_FORGERIES = [
    ("|S0", (2048,)),
    ("|u1", (1,)),
    ("|u1", (4095,)),
    ("|u1", (9999,)),
    ("<i2", (2, 1024)),
    ("<u2", (1024, 2)),
]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("text", "shape"), HDF5_FORGERIES)
def test_hdf5_gives_nothing_that_is_not_in_the_chunk(tmp_path, text, shape, shuffle):
    """HDF5 itself reads as many bytes as a chunk should have, beyond the end of what a filter gives it."""
    h5py = pytest.importorskip("h5py")
    from spikey.integrations.hdf5 import Filter

    body = general(bytes(int(np.prod(shape)) * int(text[2:])))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset("a", (1024, 2), "<i2", chunks=(1024, 2), shuffle=shuffle, **Filter())
        made.id.write_direct_chunk((0, 0), forged(text, shape, body))
    with h5py.File(tmp_path / "a.h5") as file, pytest.raises(OSError):
        file["a"][:]


@pytest.mark.parametrize("dtype", ["|i1", "<i2", ">u4", "<i8", "<f4", ">f8", "<c8", "|S7"])
@pytest.mark.parametrize(
    "filters", [{}, {"shuffle": True}, {"shuffle": True, "fletcher32": True}, {"fletcher32": True}]
)
def test_hdf5_reads_every_type_beside_other_filters(tmp_path, dtype, filters):
    h5py = pytest.importorskip("h5py")
    from spikey.integrations.hdf5 import Filter

    array = of(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=array, chunks=(32, 3), **filters, **Filter())
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["a"][:].tobytes() == array.tobytes()
