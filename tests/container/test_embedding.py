"""Where models are looked for, when they travel with a file, and that no file becomes larger than it may."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kit import reference
from kit.golden import ALONE, DENSE, known_model
from kit.writing import write_file
from spikey.base.errors import DataError, SpikeyError, UsageError
from spikey.cli import app
from spikey.codec.encode import encode_block, encode_blocks, stored
from spikey.codec.method import LPC, learned
from spikey.container import embedding, hold
from spikey.container import layout as lay
from spikey.container.archive import Archive
from spikey.container.embedding import Embedding, Fate, Tally, packed_model
from spikey.container.reader import Reader
from spikey.files import batch, encoding
from spikey.files.archives import compress_archive
from spikey.files.compress import compress_file
from spikey.files.decompress import decompress_file, verify_file
from spikey.files.settings import Settings
from spikey.model import tensor_file, trained
from spikey.model.calibration import n1
from spikey.model.trained import Model, is_shipped, load, named
from spikey.recording.layout import Layout, pack
from spikey.recording.readable import ArraySource
from spikey.recording.simulate import simulate
from spikey.recording.wav import canonical_head

MINE = Model(DENSE, known_model(DENSE, down=9).tensors, {"name": "mine"})
OTHER = known_model(ALONE, down=9)
runner = CliRunner()


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """An empty current folder, and nothing known from other tests."""
    monkeypatch.setattr(trained, "_in_use", {})
    monkeypatch.setattr(trained, "_places", [])
    monkeypatch.setattr(trained, "_origin", {})
    monkeypatch.delenv("SPIKEY_MODELS", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def worthwhile(monkeypatch):
    """Networks are compared with no coding at all, so that each saves more than half of a recording."""

    def choices(blocks, layouts, method, calibration, companions=None):
        coded = encode_blocks(blocks, method, calibration)
        plain = [stored(pack(block, Layout(block.shape[1], 0, str(block.dtype)))) for block in blocks]
        return [replace(one, plain=other) for one, other in zip(coded, plain, strict=True)]

    monkeypatch.setattr(encoding, "encode_smallest", choices)
    monkeypatch.setattr(batch, "encode_smallest", choices)


def wav(samples: np.ndarray) -> bytes:
    layout = Layout(samples.shape[1], 20_000, str(samples.dtype))
    return canonical_head(layout, len(samples)) + pack(samples, layout)


def kept(path: Path, model: Model = MINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.file)
    return path


def run(*arguments: str | Path, status: int = 0) -> str:
    done = runner.invoke(app, [str(argument) for argument in arguments])
    text = done.output + (str(done.exception) if isinstance(done.exception, SpikeyError) else "")
    assert (done.exit_code == 0) == (status == 0), (text, done.exception)
    if isinstance(done.exception, SpikeyError):
        assert done.exception.exit_status == status and "\n" not in str(done.exception)
    return text


def forget() -> None:
    """A new process has no models in use."""
    trained._in_use.clear()
    trained._places.clear()
    trained._origin.clear()


# ---------------------------------------------------------------- where models are looked for


def test_a_model_is_found_by_its_id_in_the_current_folder(tmp_path):
    kept(tmp_path / "models" / "Mine.safetensors")
    assert trained.find(MINE.id).name == "mine"
    forget()
    kept(tmp_path / "models" / "Mine.safetensors", OTHER)  # as a second training does
    with pytest.raises(DataError, match=MINE.id.hex()):
        trained.find(MINE.id)
    kept(tmp_path / "models" / "by-id" / f"{MINE.id.hex()}.safetensors")
    assert trained.find(MINE.id).id == MINE.id and trained.find(OTHER.id).id == OTHER.id


def test_a_file_under_an_id_must_have_it(tmp_path):
    kept(tmp_path / "models" / "by-id" / f"{MINE.id.hex()}.safetensors", OTHER)
    with pytest.raises(DataError, match="was not found"):
        trained.find(MINE.id)


def test_names_and_what_is_listed(tmp_path):
    kept(tmp_path / "models" / "Mine.safetensors")
    kept(tmp_path / "models" / "by-id" / f"{OTHER.id.hex()}.safetensors", OTHER)
    assert named("mine").id == MINE.id and not is_shipped(MINE) and is_shipped(named("n1-fixed"))
    listed = json.loads(run("models", "--json"))
    assert [row["id"] for row in listed].count(MINE.id.hex()) == 1 and OTHER.id.hex() not in str(listed)


def test_a_model_that_is_missing_at_decompression_is_one_sentence(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(simulate(700, 1, seed=5)))
    kept(tmp_path / "m.safetensors")
    write_named(tmp_path / "a.spky", simulate(700, 1, seed=5))
    (tmp_path / "m.safetensors").unlink()
    kept(tmp_path / "other.safetensors", OTHER)
    (tmp_path / "c.yaml").write_text("name: Mine\ntraining: {save_path: made}\npredictor: {type: lstm}\n")
    for options, says in [
        ([], [str(trained.SHIPPED), str(tmp_path / "models")]),
        (["--model", "m.safetensors"], ["m.safetensors (which does not exist)"]),
        (["--model", "other.safetensors"], [f"other.safetensors (which is {OTHER.id.hex()})"]),
        (["--config", "c.yaml"], ["made (which does not exist)"]),
    ]:
        forget()
        text = run("decompress", "a.spky", "b.wav", *options, status=1)
        for part in ("a.spky", MINE.id.hex(), "was not found in", "SPIKEY_MODELS", *says):
            assert part in text, (part, text)
        assert not (tmp_path / "b.wav").exists()
    forget()
    kept(tmp_path / "made" / "by-id" / f"{MINE.id.hex()}.safetensors")
    run("decompress", "a.spky", "b.wav", "--config", "c.yaml")
    assert (tmp_path / "b.wav").read_bytes()[-1400:] == simulate(700, 1, seed=5).tobytes()


def write_named(path: Path, samples: np.ndarray) -> None:
    """A file that needs the model and does not hold it."""
    payload = encode_block(samples, learned(MINE), n1())
    with open(path, "wb") as file:
        write_file(ArraySource(samples, 20_000), file, learned(MINE), n1(), payload=payload, embed_model=False)


# ---------------------------------------------------------------- when a model travels with a file


def packed(samples: np.ndarray, embed: bool | None, **options) -> tuple[Reader, Tally]:
    out, tally = io.BytesIO(), Tally()
    source = ArraySource(samples, 20_000)
    written = write_file(source, out, learned(MINE), n1(), embed_model=embed, tally=tally, **options)
    assert written == len(out.getvalue())
    trained.use(MINE)
    reader = Reader(out.getvalue())
    np.testing.assert_array_equal(reader[:], samples)
    data = out.getvalue()
    if len(samples) <= 300:
        assert reference.decode(data, [n1().to_bytes()], [MINE.file]) == samples.tobytes()
    return reader, tally


@pytest.mark.parametrize("frames", [None, 256])
@pytest.mark.parametrize(
    ("length", "embed", "fate"),
    [
        (2500, True, Fate.EMBEDDED),
        (2500, None, Fate.NAMED),  # where it takes more than 1 %
        (2500, False, Fate.NAMED),
        (300, True, Fate.DROPPED),  # where the file is smaller without it
        (300, None, Fate.NAMED),
    ],
)
def test_the_fate_of_a_model(worthwhile, monkeypatch, length, embed, fate, frames):
    reader, tally = packed(simulate(length, 1, seed=1), embed, block_frames=frames)
    assert reader.header.single == (frames is None) or fate is Fate.DROPPED
    assert tally.fate is fate
    assert (
        len(reader.header.record(lay.MODEL) or b"")
        == {
            Fate.EMBEDDED: len(packed_model(MINE)) + 4,
            Fate.NAMED: 4,
            Fate.DROPPED: 0,
        }[fate]
    )
    assert reader.file_size <= 2 * length + 2 * length // 1000 + 64


@pytest.mark.parametrize("frames", [None, 1 << 15])
def test_a_model_of_ones_own_travels_where_it_takes_at_most_one_percent(worthwhile, monkeypatch, frames):
    """Decided by the whole file, or as soon as it is certain: the bytes are the same."""
    samples = simulate(200_000, 1, seed=1)
    reader, tally = packed(samples, None, block_frames=frames)
    cost = len(packed_model(MINE))
    assert tally.fate is Fate.EMBEDDED and 100 * cost <= reader.file_size
    monkeypatch.setattr(embedding, "SHARE", 200)
    assert packed(samples, None, block_frames=frames)[1].fate is Fate.NAMED


def test_blocks_are_not_held_longer_than_it_takes(worthwhile, monkeypatch):
    samples, taken = simulate(60_000, 1, seed=1), []
    whole = packed(samples, True, block_frames=1000)[0].payload
    monkeypatch.setattr(hold, "SURE", 1 << 12)
    codings = encoding._in_order

    def counted(*arguments):
        for coding in codings(*arguments):
            taken.append(coding)
            yield coding

    class Out(io.BytesIO):
        first = 0

        def write(self, data):
            self.first = self.first or len(taken)
            return super().write(data)

    monkeypatch.setattr(encoding, "_in_order", counted)
    out = Out()
    write_file(ArraySource(samples, 20_000), out, learned(MINE), n1(), embed_model=True, block_frames=1000)
    with Reader(out.getvalue()) as reader:
        assert len(reader.header.record(lay.MODEL)) > 4 and reader.payload(reader.structure.blocks[0]) == whole(
            reader.structure.blocks[0]
        )
    assert 1 < out.first < 10 < len(taken) == 60


def test_a_model_is_in_a_file_once(worthwhile):
    reader, _ = packed(simulate(2500, 1, seed=1), True, block_frames=256)
    data = reader.input.read_at(0, reader.file_size)
    assert data.count(packed_model(MINE)) == 1
    with Reader(bytes(20) + data[20:], salvage=True) as rescued:  # the copy of the header still names it
        assert rescued.model_id == MINE.id


def test_what_comes_with_the_package_does_not_travel_unasked(worthwhile, monkeypatch, tmp_path):
    monkeypatch.setattr(embedding, "SHARE", 1)
    kept(tmp_path / "shipped" / "mine.safetensors")
    monkeypatch.setattr(trained, "SHIPPED", tmp_path / "shipped")
    assert packed(simulate(2500, 1, seed=1), None)[1].fate is Fate.NAMED


def test_a_model_too_large_to_embed(worthwhile, monkeypatch):
    monkeypatch.setattr(embedding, "LARGEST_RECORD", 500)
    with pytest.raises(UsageError, match="at most 500 can be embedded"):
        packed(simulate(2500, 1, seed=1), True)
    assert packed(simulate(2500, 1, seed=1), None)[1].fate is Fate.NAMED


def test_the_command_line_says_which_file_must_be_kept(worthwhile, tmp_path):
    for seed in range(3):
        (tmp_path / f"{seed}.wav").write_bytes(wav(simulate(2500, 1, seed=seed)))
    kept(tmp_path / "models" / "Mine.safetensors")
    text = run("compress", "0.wav", "a.spky", "--model", "models/Mine.safetensors")
    assert text.count(MINE.id.hex()) == 1 and "keep models/Mine.safetensors" in text
    by_id = kept(tmp_path / "models" / "by-id" / f"{MINE.id.hex()}.safetensors").relative_to(tmp_path)
    (tmp_path / "out").mkdir()
    text = run("compress", "0.wav", "1.wav", "2.wav", "out", "--model", "models/Mine.safetensors")
    assert text.count(MINE.id.hex()) == text.count(f"keep {by_id}") + 1 == 2
    text = run("compress", "0.wav", "b.spky", "--model", "mine", "--embed-model")
    assert "keep" not in text
    forget()
    (tmp_path / "models").rename(tmp_path / "gone")
    run("decompress", "b.spky", "b.wav")
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "0.wav").read_bytes()
    assert MINE.id.hex() in run("decompress", "a.spky", "c.wav", status=1)


# ---------------------------------------------------------------- archives


def members(tmp_path: Path, count: int, length: int = 2500) -> list[tuple[str, Path]]:
    for seed in range(count):
        (tmp_path / f"{seed}.wav").write_bytes(wav(simulate(length, 1, seed=seed)))
    return [(f"{seed}.wav", tmp_path / f"{seed}.wav") for seed in range(count)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_archive_holds_a_model_once(worthwhile, tmp_path, jobs):
    named_members = members(tmp_path, 4)
    settings = Settings(model=MINE, embed_model=True, jobs=jobs)
    packing = compress_archive(named_members, "a.spky", settings)
    data = (tmp_path / "a.spky").read_bytes()
    assert data.count(packed_model(MINE)) == 1 and len(packing.entries) == 4 and not packing.note
    forget()
    with Archive("a.spky") as archive:
        assert archive.names == [name for name, _ in named_members] and not archive.lost
        for name, path in named_members:
            assert len(archive[name].header.record(lay.MODEL)) == 4
            assert archive[name][:].tobytes() == path.read_bytes()[44:]
    forget()
    (tmp_path / "cut.spky").write_bytes(data[:-20])  # no directory
    with Archive("cut.spky", salvage=True) as archive:
        assert archive["2.wav"][:].tobytes() == named_members[2][1].read_bytes()[44:]
    forget()
    at = data.index(packed_model(MINE)) + 300
    (tmp_path / "bad.spky").write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
    with Archive("bad.spky") as archive, pytest.raises(DataError, match=MINE.id.hex()) as error:
        archive["2.wav"][:]
    assert "\n" not in str(error.value)
    run("verify", "a.spky")
    run("decompress", "a.spky", "restored/")
    assert (tmp_path / "restored" / "3.wav").read_bytes() == named_members[3][1].read_bytes()


def test_an_archive_names_or_drops_a_model(worthwhile, tmp_path):
    packing = compress_archive(members(tmp_path, 2), "a.spky", Settings(model=MINE))
    path = kept(tmp_path / "m.safetensors")
    text = run("compress", "--together", "0.wav", "1.wav", "-o", "b.spky", "--model", path)
    assert MINE.id.hex() in packing.note and MINE.id.hex() in text
    forget()
    with Archive("a.spky") as archive, pytest.raises(DataError, match="was not found"):
        archive["0.wav"][:]
    small = members(tmp_path, 2, 200)
    packing = compress_archive(small, "c.spky", Settings(model=MINE, embed_model=True))
    assert not packing.note and len(packing.entries) == len(packing.outcomes) == 2
    forget()
    with Archive("c.spky") as archive:
        assert not archive.models and not archive["0.wav"].model_id
        assert archive["1.wav"][:].tobytes() == small[1][1].read_bytes()[44:]


# ---------------------------------------------------------------- no file is larger than it may be


def noise(frames: int, channels: int, dtype: str, seed: int = 0) -> np.ndarray:
    data = np.random.default_rng(seed).bytes(frames * channels * np.dtype(dtype).itemsize)
    return np.frombuffer(data, dtype=dtype).reshape(frames, channels)


SIZES = [(0, 1), (1, 1), (2, 3), (40, 1), (500, 7), (4096, 17), (3972, 33), (70_000, 2), (140_000, 1), (20, 4000)]
CASES = [(size, dtype, None) for size in SIZES for dtype in ("int8", "int16", "float32")]
CASES += [(size, "int16", MINE) for size in SIZES[:5]]


@pytest.mark.parametrize(("size", "dtype", "model"), CASES, ids=lambda case: getattr(case, "name", str(case)))
def test_noise_grows_by_no_more_than_it_may(size, dtype, model):
    samples = noise(*size, dtype)
    method = LPC if model is None else learned(model)
    calibration = n1().to_bytes()
    for rate in (20_000, 24_414.0625):
        for options in ({}, {"embed": calibration}, {"embed_model": True}):
            out = io.BytesIO()
            write_file(ArraySource(samples, rate), out, method, n1(), **options)
            assert len(out.getvalue()) <= samples.nbytes + samples.nbytes // 1000 + 64, options
    with Reader(out.getvalue()) as reader:
        assert reader[:].tobytes() == samples.tobytes() and reader.rate == rate


@pytest.mark.parametrize("around", [(0, 0), (40, 0), (44, 70_000), (100_000, 100_000), (2_000_000, 0)])
@pytest.mark.parametrize("frames", [0, 3, 70_000])
def test_incompressible_bytes_around_samples(around, frames, tmp_path):
    class Wrapped(ArraySource):
        head_size, tail_size = around

        def head_chunks(self, size=0):
            return iter([noise(around[0], 1, "uint8", 1).tobytes()])

        def tail_chunks(self, size=0):
            return iter([noise(around[1], 1, "uint8", 2).tobytes()])

    source, out = Wrapped(noise(frames, 1, "int8"), 24_414.0625), io.BytesIO()
    write_file(source, out, LPC)
    size = sum(around) + frames
    assert len(out.getvalue()) <= size + size // 1000 + 64
    with Reader(out.getvalue()) as reader:
        head, tail = (b"".join(reader.around(kind)) for kind in (lay.BLOCK_HEAD, lay.BLOCK_TAIL))
        assert (len(head), len(tail)) == around and reader[:].tobytes() == noise(frames, 1, "int8").tobytes()


@pytest.mark.parametrize("kind", ["noise", "signal", "constant"])
@pytest.mark.parametrize("length", [0, 1, 30, 600])
@pytest.mark.parametrize("blocked", [False, True])
def test_files_with_a_model_inside(kind, length, blocked, tmp_path, monkeypatch):
    """What was 277,591 bytes of 197,500: an embedded model counts."""
    if blocked:
        monkeypatch.setattr(encoding, "is_single", lambda *_: False)
    samples = {
        "noise": noise(length, 1, "int16"),
        "signal": simulate(max(length, 1), 1, seed=1)[:length],
        "constant": np.zeros((length, 1), np.int16),
    }[kind]
    (tmp_path / "a.wav").write_bytes(wav(samples))
    size = 44 + 2 * length
    for embed in (True, None):
        settings = Settings(model=named("n1-lstm-small"), embed_model=embed)
        outcome = compress_file("a.wav", "a.spky", settings, overwrite=True)
        assert outcome.compressed == (tmp_path / "a.spky").stat().st_size <= size + size // 1000 + 64
        assert verify_file("a.spky").original == size
        decompress_file("a.spky", "b.wav", overwrite=True)
        assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()


@pytest.mark.parametrize("kind", ["noise", "signal"])
def test_archives_of_tiny_recordings(kind, tmp_path):
    """Of each member an archive keeps a name and up to 64 bytes as well."""
    files, size = [], 0
    for seed, length in enumerate((0, 1, 30, 600)):
        path = tmp_path / f"{seed}.wav"
        path.write_bytes(wav(noise(length, 1, "int16") if kind == "noise" else simulate(600, 1, seed=seed)[:length]))
        files.append((path.name, path))
        size += path.stat().st_size + len(path.name) + 64
    for settings in (Settings(), Settings(model=named("n1-lstm-small"), embed_model=True), Settings(model=MINE)):
        compress_archive(files, "a.spky", settings, overwrite=True)
        assert (tmp_path / "a.spky").stat().st_size <= size + size // 1000 + 64


def test_ids_name_contents():
    assert tensor_file.digest(MINE.file)[:4] == load(MINE.file).id == MINE.id
    assert Embedding(MINE, True).record == MINE.id + packed_model(MINE)


@pytest.mark.parametrize("embed", [True, None])
def test_many_recordings_at_once_are_as_one_by_one(worthwhile, tmp_path, embed):
    work = []
    for number, length in enumerate((2500, 300, 40, 2500)):
        (tmp_path / f"{number}.wav").write_bytes(wav(simulate(length, 1, seed=number)))
        work.append((tmp_path / f"{number}.wav", tmp_path / f"{number}.spky"))
    settings = Settings(model=MINE, embed_model=embed)
    for (path, outcome), (_, out) in zip(batch.compress_together(work, settings), work, strict=True):
        assert outcome == compress_file(path, "alone.spky", settings, overwrite=True)
        assert out.read_bytes() == (tmp_path / "alone.spky").read_bytes()
        with Reader(out) as reader:
            held = len(reader.header.record(lay.MODEL) or b"")
        assert (held > 4) == (embed is True and path.stat().st_size > 2500)
