"""Writing files to a store that fsspec knows (`s3://…`, `memory://…`), each complete or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from spikey.errors import SpikeyError, UsageError, install
from spikey.recording.remote import reason


def find_store(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it; UsageError where there is none."""
    try:
        import fsspec
    except ImportError:
        raise UsageError(f"{address}: an address needs fsspec: {install('remote')}") from None
    try:
        store, path = fsspec.core.url_to_fs(address)
    except ImportError as error:  # whose text names the package
        raise UsageError(f"{address}: needs a package that is missing ({reason(error)})") from None
    except Exception as error:
        raise UsageError(f"{address}: is no address that can be used: {reason(error)}") from None
    return store, path


def unfinished(name: str) -> str:
    """What a file is called until it is complete."""
    return f".{name[:100]}.{secrets.token_hex(4)}.part"


@contextmanager
def complete_address(address: str) -> Iterator[tuple[BinaryIO, str]]:
    """A file to write in a store that takes its name only when the block ends without an error; also its passing name.

    The block must close the file before it reads it again. Raises UsageError where the store cannot be written to.
    """
    store, path = find_store(address)
    folder, slash, name = path.rpartition("/")
    passing_name = unfinished(name)
    passing = f"{folder}{slash}{passing_name}"
    try:
        if store.isdir(path):
            raise UsageError(f"{address}: is a folder; name a file to write to")
        if folder and "file" in _protocols(store):
            store.makedirs(folder, exist_ok=True)  # elsewhere folders need not be made, and a bucket had better not be
        try:
            with store.open(passing, "wb") as file:
                yield file, address.removesuffix(name) + passing_name
            store.mv(passing, path)
        except BaseException:
            with suppress(Exception):
                store.rm(passing)
            raise
    except SpikeyError:
        raise
    except Exception as error:  # every store has kinds of its own
        raise UsageError(f"{address}: cannot be written ({reason(error)})") from error


def _protocols(store: Any) -> tuple[str, ...]:
    return (store.protocol,) if isinstance(store.protocol, str) else tuple(store.protocol)
