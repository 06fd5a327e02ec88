"""`spikey compress` and `spikey decompress` with addresses, as s3://bucket/folder/: from and to stores."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from spikey.base.errors import UsageError
from spikey.cli.arguments import Arguments
from spikey.cli.common import prepare_kernels, some
from spikey.cli.messages import note
from spikey.cli.packing import Plan
from spikey.cli.run import Run, Task, run
from spikey.files.names import RAW, SUFFIX, derived_name, packed_name, restored_name
from spikey.recording.output import make_folder
from spikey.recording.remote import is_address, reason

if TYPE_CHECKING:
    from spikey.files.settings import Outcome, Progress, Settings

Named = tuple[str, str]  # input and output
STAND_IN = os.path.abspath("/spikey-address")  # in the place of an address, where a plan joins paths


def compress_pairs(arguments: Arguments, settings: Settings) -> list[Named]:
    """The WAV or raw files among the inputs, each with its output."""
    suffixes = (".wav",) if settings.raw is None else RAW
    return named_pairs(arguments, suffixes, lambda path: packed_name(path.name))


def named_pairs(
    arguments: Arguments, suffixes: tuple[str, ...], rename: Callable[[Path], str], mirrored: bool = True
) -> list[Named]:
    """Inputs, which are paths and fsspec addresses, each with its output; folders are searched for `suffixes`.

    mirrored: whether outputs of a folder lie in a folder of its name.
    """
    assert arguments.output is not None
    output = arguments.output
    found: list[tuple[str, str]] = []  # an input, and its name below the output
    folder = arguments.folder or len(arguments.inputs) > 1
    for text in arguments.inputs:
        inside = _files_in(text, suffixes)
        folder |= inside is not None
        home = PurePosixPath(text if is_address(text) else os.path.abspath(text)).name
        prefix = f"{home}/" if mirrored else ""
        found += [(text, PurePosixPath(text).name)] if inside is None else [(a, f"{prefix}{b}") for a, b in inside]
    if not folder or (output.endswith(".zarr") and len(found) == 1):
        return [(found[0][0], output)]
    out = [(source, str(PurePosixPath(name).with_name(rename(Path(name))))) for source, name in found]
    work = [(source, f"{output.rstrip('/')}/{name}") for source, name in out]
    taken: dict[str, str] = {}
    for source, target in work:
        if taken.setdefault(target, source) != source:
            raise UsageError(f"{source} and {taken[target]} would both be written to {target}")
        if not is_address(target):
            make_folder(Path(target).parent)
    return work


def _files_in(text: str, suffixes: tuple[str, ...]) -> list[tuple[str, str]] | None:
    """Files of a folder, each with its path below; None where it is no folder."""
    if not is_address(text):
        folder = Path(text)
        if not folder.is_dir():
            return None
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
        found = [(str(p), p.relative_to(folder).as_posix()) for p in files]
    else:
        listed = _listed(text)
        if listed is None:
            return None
        found = [each for each in listed if PurePosixPath(each[1]).suffix.lower() in suffixes]
        if found and len(found) < len(listed):
            others = len(listed) - len(found)
            note(f"{text}: {others:,} other file{'s' * (others > 1)}, not ending in {suffixes[0]}, not read")
    some(found, text, suffixes)
    return found


def _listed(address: str) -> list[tuple[str, str]] | None:
    """All files below an address, each with its path below; None where it is no folder."""
    if address.startswith(("http://", "https://")):  # which have no folders, and listing would download the file
        return None
    from spikey.recording.retries import persist
    from spikey.recording.store import find_store

    store, path = find_store(address)
    try:
        store.invalidate_cache()
        if not persist(lambda: store.isdir(path)):
            if address.endswith("/"):
                raise UsageError(f"{address}: no such folder, or an empty one")
            return None
        names = sorted(persist(lambda: store.find(path)))
    except UsageError:
        raise
    except Exception as error:  # every store has kinds of its own
        raise UsageError(f"{address}: cannot be listed ({reason(error)})") from None
    return [(store.unstrip_protocol(name), name[len(path) :].lstrip("/")) for name in names]


def compress_addresses(pairs: list[Named], settings: Settings, overwrite: bool) -> Run:
    """Compress WAV or raw files, some of which are read from or written to stores."""
    from spikey.files.compress import compress_file

    prepare_kernels()
    alone = len(pairs) == 1
    each = settings if alone else replace(settings, jobs=1)

    def task(source: str, target: str) -> Task:
        name = PurePosixPath(source).name
        follows = derived_name(PurePosixPath(target).name, "wav" if settings.raw is None else "raw") == name

        def do(progress: Progress) -> Outcome:
            return compress_file(source, target, each, progress, overwrite=overwrite, name="" if follows else name)

        return Task(source, target, 0, do)

    return run([task(*pair) for pair in pairs], "compressed", settings.jobs, alone=alone)


def retarget(found: Plan, address: str) -> None:
    """Have the outputs of a plan, which lie below the stand-in, lie below an address."""
    for number, each in enumerate(found.outputs):
        below = Path(each.target).relative_to(STAND_IN).as_posix()
        target = address if below == "." else f"{address.rstrip('/')}/{below}"
        found.outputs[number] = each._replace(target=target)


def compressed_below(address: str) -> list[Named] | None:
    """The compressed files of a folder of a store, each with its path below; None where it is no folder."""
    return _files_in(address, (SUFFIX,))


def restore_to_addresses(arguments: Arguments, salvage: bool, jobs: int, overwrite: bool) -> tuple[Run, list[str]]:
    """Restore compressed files to a store; and what of them is damaged."""
    from spikey.files.decompress import decompress_file, describe_lost

    prepare_kernels()
    pairs = named_pairs(arguments, (SUFFIX,), lambda path: path.name, mirrored=False)
    alone = len(pairs) == 1
    named = alone and pairs[0][1] == arguments.output and not arguments.folder
    damaged: list[str] = []

    def task(source: str, target: str) -> Task:
        def do(progress: Progress) -> Outcome:
            place = target if named else _own_name(source, target)
            options: Any = {"salvage": salvage, "jobs": jobs if alone else 1, "overwrite": overwrite}
            outcome, lost = decompress_file(source, place, progress=progress, **options)
            if lost:
                damaged.append(f"{source}: {describe_lost(lost)}; zeros replace the lost samples, the rest is intact")
            return outcome

        return Task(source, target, 0, do)

    return run([task(*pair) for pair in pairs], "restored", jobs, alone=alone), sorted(damaged)


def _own_name(source: str, target: str) -> str:
    """`target` with the name that the file had before; UsageError for what several files are restored from."""
    from spikey.container.archive import is_archive
    from spikey.container.reader import Reader

    if is_archive(source):
        raise UsageError(
            f"{source}: is an archive of recordings; restore it into a folder on this machine", code="archive"
        )
    with Reader(source, salvage=True) as reader:
        if reader.files or reader.file_map is not None:
            raise UsageError(f"{source}: contains several files; restore it into a folder on this machine")
        name = restored_name(reader, PurePosixPath(source).name)
    return f"{target.rpartition('/')[0]}/{PurePosixPath(name).name}"
