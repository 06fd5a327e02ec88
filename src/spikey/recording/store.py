"""Writing files to a store that fsspec supports (`s3://…`, `memory://…`), each complete or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from spikey.base.errors import OutputExistsError, SpikeyError, UsageError, install
from spikey.recording.output import tmp_name
from spikey.recording.remote import reason
from spikey.recording.retries import persist


def find_store(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it; UsageError where there is none."""
    try:
        import fsspec
    except ImportError:
        raise UsageError(f"{address}: an address needs fsspec: {install('remote')}", code="missing-package") from None
    try:
        store, path = fsspec.core.url_to_fs(address)
    except ImportError as error:  # whose text names the package
        raise UsageError(f"{address}: needs a package that is missing ({reason(error)})") from None
    except Exception as error:
        raise UsageError(f"{address}: is not a usable address: {reason(error)}") from None
    return store, path


@contextmanager
def atomic_address(address: str, overwrite: bool = False) -> Iterator[tuple[BinaryIO, str]]:
    """A file to write in a store that is renamed to `address` when the block ends without an error; also its temporary
    address.

    The block must close the file before it reads it again. Steps that fail are tried again; what was begun of a file
    that is not finished is removed, parts of an upload too. Raises OutputExistsError where there is a file and it must
    not be replaced, UsageError where the store cannot be written to.
    """
    store, path = find_store(address)
    folder, slash, name = path.rpartition("/")
    unfinished = tmp_name(name)
    tmp_path = f"{folder}{slash}{unfinished}"
    try:
        persist(lambda: _check(store, path, address, overwrite))
        if folder and "file" in _protocols(store):
            store.makedirs(folder, exist_ok=True)  # elsewhere folders need not be made, and a bucket had better not be
        file = None
        try:
            file = persist(lambda: store.open(tmp_path, "wb"))
            yield file, address.removesuffix(name) + unfinished
            file.close()
            persist(lambda: _check(store, path, address, overwrite))
            _move(store, tmp_path, path)
        except BaseException:
            _discard(file)
            with suppress(Exception):
                persist(lambda: store.rm(tmp_path))
            raise
    except SpikeyError:
        raise
    except Exception as error:  # every store has kinds of its own
        raise UsageError(f"{address}: cannot be written ({reason(error)})") from error


def _move(store: Any, tmp_path: str, path: str) -> None:
    """Rename a file. An attempt may fail after the store has done it, and the next one then finds nothing to rename."""
    try:
        persist(lambda: store.mv(tmp_path, path))
    except FileNotFoundError:
        if store.exists(tmp_path) or not store.exists(path):
            raise


def _discard(file: Any) -> None:
    """End a file that is not finished: closing it would complete the upload of what there is."""
    if file is None:
        return
    try:
        file.discard()  # also of a file that could not be closed, and calls itself closed all the same
        file.closed = True
    except Exception:  # a kind of file that has nothing to discard, or a store that fails for good
        with suppress(Exception):
            file.close()


def _check(store: Any, path: str, address: str, overwrite: bool) -> None:
    store.invalidate_cache()  # others write there as well
    if store.isdir(path):
        raise UsageError(f"{address}: is a folder; name a file to write to")
    if not overwrite and store.exists(path):
        raise OutputExistsError(address)


def _protocols(store: Any) -> tuple[str, ...]:
    return (store.protocol,) if isinstance(store.protocol, str) else tuple(store.protocol)
