"""Files with keys, and the list of streams that were received: what is made, and one sentence for what is wrong."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

import spikey
from kit.paths import SOURCE
from spikey.base.errors import DataError, UsageError
from spikey.cli import app
from spikey.stream.authentication import STREAM, Authenticator, checked_key, checked_size
from spikey.stream.key_file import new_key, read_key
from spikey.stream.seen import Seen

runner = CliRunner()


def test_a_new_key_is_random_and_readable_by_its_owner_only(tmp_path):
    keys = set()
    for name in ("a", "b"):
        done = runner.invoke(app, ["key", "new", str(tmp_path / name)])
        assert done.exit_code == 0
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            keys.add(spikey.read_key(tmp_path / name))
        if os.name == "posix":
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert len(keys) == 2 and {len(key) for key in keys} == {32}
    assert len((tmp_path / "a").read_text()) == 65


def test_a_key_is_never_replaced(tmp_path):
    path = tmp_path / "k"
    new_key(path)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="k: exists, and a key is never replaced"):
        new_key(path)
    assert path.read_bytes() == before
    with pytest.raises(UsageError, match="cannot be written"):
        new_key(tmp_path / "no folder" / "k")


def test_a_key_that_could_not_be_written_leaves_no_file(tmp_path, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="k: cannot be written .No space left"):
        new_key(tmp_path / "k")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [16, 20, 32])
@pytest.mark.parametrize("form", ["{}", "{}\n", "  {}\r\n"])
def test_keys_are_hexadecimal_characters(tmp_path, size, form):
    path, key = tmp_path / "k", bytes(range(size))
    path.write_text(form.format(key.hex().upper()))
    path.chmod(0o600)
    assert read_key(path) == key


@pytest.mark.parametrize(
    "content, part",
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"00" * 15, "15 bytes, which is too short"),
        (b"00" * 33, "too long"),
        (b"00" * 4000, "too long"),
        (b"no key at all", "is not a key"),
        (b"0" * 33, "is not a key"),
        (b"\xff\xfe" * 40, "is not a key"),
    ],
)
def test_files_without_a_key_are_refused(tmp_path, content, part):
    path = tmp_path / "k"
    path.write_bytes(content)
    with pytest.raises(DataError, match=part) as error:
        read_key(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert content.decode("latin-1").strip()[:8] not in str(error.value).replace(str(path), "") or not content.strip()


def test_a_missing_or_unreadable_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"does not exist; spikey key new .*k makes a key"):
        read_key(tmp_path / "k")
    with pytest.raises(UsageError, match="cannot be read"):
        read_key(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_read_with_a_warning(tmp_path, mode):
    path = tmp_path / "k"
    new_key(path)
    path.chmod(mode)
    with pytest.warns(UserWarning, match="others can read this key; chmod 600"):
        read_key(path)


@pytest.mark.parametrize("key", [b"", bytes(15), bytes(33), "00" * 16, bytearray(16), None])
def test_impossible_keys_are_refused(key):
    with pytest.raises(UsageError, match="16 to 32 bytes"):
        checked_key(key)


@pytest.mark.parametrize("make", [spikey.Encoder, spikey.TelemetryEncoder])
def test_encoders_refuse_impossible_keys(make):
    with pytest.raises(UsageError, match="16 to 32 bytes"):
        make(4, 20_000, key=bytes(8))


def test_sizes_of_tags():
    assert [checked_size(bytes(16), size, 8) for size in (None, 4, 8, 16)] == [8, 4, 8, 16]
    for size in (0, 1, 3, 5, 32, -4):
        with pytest.raises(UsageError, match="4, 8 or 16 bytes"):
            checked_size(bytes(16), size, 8)
    with pytest.raises(UsageError, match="need a key"):
        checked_size(None, 8, 8)
    with pytest.raises(UsageError, match="need a key"):
        spikey.Encoder(4, 20_000, tag_bytes=8)
    with pytest.raises(UsageError, match="need a key"):
        spikey.TelemetryEncoder(4, 20_000, settings=spikey.TelemetrySettings(tag_bytes=8))
    with pytest.raises(UsageError, match="4, 8 or 16"):
        spikey.TelemetrySettings(tag_bytes=5)


def test_a_tag_hangs_on_everything():
    """Key, protocol, stream, direction, number, size and every byte."""
    from spikey.stream.authentication import REQUESTS, TELEMETRY

    key, data = bytes(range(32)), b"some bytes"
    tags = {
        Authenticator(key, STREAM, 7, 8).tag(5, data),
        Authenticator(key[:31], STREAM, 7, 8).tag(5, data),
        Authenticator(key, TELEMETRY, 7, 8).tag(5, data),
        Authenticator(key, STREAM, 8, 8).tag(5, data),
        Authenticator(key, STREAM, 7, 8, REQUESTS).tag(5, data),
        Authenticator(key, STREAM, 7, 16).tag(5, data)[:8],
        *(Authenticator(key, STREAM, 7, 8).tag(number, data) for number in (4, 5 + (1 << 32), 5 + (1 << 16))),
        *(Authenticator(key, STREAM, 7, 8).tag(5, other) for other in (data[:-1], data + b"\0", b"S" + data[1:])),
    }
    assert len(tags) == 12


def test_tags_are_compared_in_constant_time(monkeypatch):
    """A comparison that ends at the first byte that differs would reveal how much of a forged tag is right."""
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr("spikey.stream.authentication.hmac.compare_digest", compare)
    authenticator = Authenticator(bytes(16), STREAM, 7, 8)
    tag = authenticator.tag(0, b"data")
    assert not authenticator.verifies(0, b"data" + tag) and compared == [(tag, tag)]


# The list of streams that were received


def test_streams_are_listed_for_good(tmp_path):
    path = tmp_path / "seen.txt"
    seen = Seen(path, "stream")
    assert 7 not in seen and path.exists()
    seen.add(7)
    other = Seen(path, "telemetry")
    assert 7 not in other
    other.add(7)
    other.add(7)
    seen.add(8)
    assert sorted(path.read_text().splitlines()) == ["stream 7", "stream 8", "telemetry 7"]
    assert 7 in Seen(path, "stream") and 8 in Seen(path, "stream") and 8 not in Seen(path, "telemetry")
    assert [each.name for each in tmp_path.iterdir()] == ["seen.txt"]


def test_two_receivers_lose_no_line(tmp_path):
    path = tmp_path / "seen.txt"
    program = (
        "import sys; from spikey.stream.seen import Seen\n"
        "seen = Seen(sys.argv[1], 'stream')\n"
        "[seen.add(int(sys.argv[2]) + number) for number in range(20)]"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(path), str(first)], env=environment) for first in (0, 100)
    ]
    assert [each.wait(60) for each in running] == [0, 0]
    assert len(path.read_text().splitlines()) == 40


def test_a_list_without_memory_of_a_file():
    seen = Seen(None, "stream")
    seen.add(7)
    assert 7 in seen and 8 not in seen


@pytest.mark.parametrize("content", [b"stream", b"stream x\n", b"WAVE" * 20, b"stream 7\nother 5\n", b"\xff\n"])
def test_a_file_of_another_kind_is_not_replaced(tmp_path, content):
    path = tmp_path / "seen.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is not a list of streams"):
        Seen(path, "stream")
    assert path.read_bytes() == content


def test_a_list_that_cannot_be_written_is_refused_at_once(tmp_path):
    with pytest.raises(UsageError, match="cannot be"):
        Seen(tmp_path, "stream")
    with pytest.raises(UsageError, match="cannot be"):
        Seen(tmp_path / "no folder" / "seen", "stream")


@pytest.mark.parametrize(
    "words",
    [
        ["stream", "send", "{wav}", "--to", "udp://127.0.0.1:9"],
        ["stream", "receive", "udp://127.0.0.1:0", "{out}"],
        ["telemetry", "encode", "{wav}", "{out}"],
        ["telemetry", "decode", "{wav}"],
        ["telemetry", "send", "{wav}", "--to", "udp://127.0.0.1:9"],
        ["telemetry", "receive", "udp://127.0.0.1:0", "{out}"],
    ],
)
def test_every_command_refuses_a_file_that_is_no_key(tmp_path, words):
    key = tmp_path / "k"
    key.write_text("0011")
    given = [word.format(wav=tmp_path / "a.wav", out=tmp_path / "o") for word in words]
    (tmp_path / "a.wav").write_bytes(b"never read")
    done = runner.invoke(app, [*given, "--key-file", str(key)])
    assert isinstance(done.exception, DataError) and "too short" in str(done.exception)
    done = runner.invoke(app, [*given, "--key-file", str(tmp_path / "none")])
    assert isinstance(done.exception, UsageError) and "does not exist" in str(done.exception)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.wav", "k"]


@pytest.mark.parametrize("kind", ["stream", "telemetry"])
def test_a_list_of_streams_needs_a_key(tmp_path, kind):
    done = runner.invoke(
        app, [kind, "receive", "udp://127.0.0.1:0", str(tmp_path / "o"), "--seen", str(tmp_path / "s")]
    )
    assert isinstance(done.exception, UsageError) and "--seen needs --key-file" in str(done.exception)
    assert not list(Path(tmp_path).iterdir())
