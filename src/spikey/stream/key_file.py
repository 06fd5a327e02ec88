"""Files with the key that both ends of a stream share: its bytes as hexadecimal characters, in one line."""

from __future__ import annotations

import os
import secrets
import stat
import warnings

from spikey.base.errors import DataError, UsageError
from spikey.stream.authentication import LONGEST_KEY, SHORTEST_KEY

MOST_READ = 1024  # characters of a file that may be a key's
MODE = 0o600


def new_key(path: str | os.PathLike[str]) -> None:
    """Write a random key of 32 bytes to a new file that only its owner can read; never replaces a file."""
    name = os.fspath(path)
    try:
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(LONGEST_KEY) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            os.unlink(name)
            raise
    except FileExistsError:
        raise UsageError(f"{name}: exists, and a key is never replaced; name another file") from None
    except OSError as error:
        raise UsageError(f"{name}: cannot be written ({error.strerror or error})") from None


def read_key(path: str | os.PathLike[str]) -> bytes:
    """Read the key that two ends of a stream share.

    Parameters
    ----------
    path : path
        A file of one line with 32 to 64 hexadecimal characters, as `spikey key new` makes it. A `UserWarning` is issued
        if other users can read it.

    Returns
    -------
    bytes
        16 to 32 bytes, for `key=` of encoders and decoders.

    Raises
    ------
    UsageError
        The file is missing or cannot be read.
    DataError
        The file does not contain a key.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            data, mode = file.read(MOST_READ), os.fstat(file.fileno()).st_mode
    except FileNotFoundError:
        raise UsageError(f"{name}: does not exist; spikey key new {name} makes a key") from None
    except OSError as error:
        raise UsageError(f"{name}: cannot be read ({error.strerror or error})") from None
    if not data.strip():
        raise DataError(f"{name}: is empty, and no key; spikey key new makes one in another file")
    try:
        key = bytes.fromhex(data.decode("ascii").strip())
    except ValueError:
        raise DataError(f"{name}: is not a key, which is one line of hexadecimal characters") from None
    if len(key) < SHORTEST_KEY:
        raise DataError(f"{name}: has a key of {len(key)} bytes, which is too short; {SHORTEST_KEY} are needed")
    if len(key) > LONGEST_KEY:
        raise DataError(f"{name}: has a key of more than {LONGEST_KEY} bytes, which is too long")
    if os.name == "posix" and stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
        warnings.warn(f"{name}: others can read this key; chmod 600 {name} prevents that", stacklevel=2)
    return key
