"""What several commands do with archives: `compress --together`, and restoring, verifying and describing them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from spikey.base.errors import SpikeyError, UsageError
from spikey.cli.arguments import Arguments
from spikey.cli.common import prepare_kernels, some
from spikey.cli.messages import is_quiet, note, say
from spikey.cli.packing import remove, stamp
from spikey.cli.progress import progress_bar
from spikey.cli.run import Run, Task, run, summary
from spikey.files.decompress import describe_lost
from spikey.files.matching import matches, same_file_time
from spikey.files.names import RAW
from spikey.files.settings import Outcome, Progress
from spikey.recording.output import make_folder
from spikey.recording.remote import is_address
from spikey.recording.tree import is_own

if TYPE_CHECKING:
    from spikey.container.archive import Archive
    from spikey.files.settings import Settings


def compress(
    arguments: Arguments,
    places: dict[str, Path],
    settings: Settings,
    force: bool,
    complete: bool,
    remove_inputs: bool,
    as_json: bool,
) -> None:
    """Compress files and folders into one archive; exit status 1 where a recording had to be left out."""
    output = arguments.output
    if output is None or (arguments.folder and len(arguments.inputs) > 1 and output.endswith("/")):
        raise UsageError("--together writes one archive: name it as the last path, ending in .spky, or with --output")
    if arguments.folder:
        raise UsageError(f"{output}: is a folder; name a file for the archive")
    suffixes = (".wav",) if settings.raw is None else RAW
    members, others = found([places[text] for text in arguments.inputs], suffixes)
    if others and complete:
        raise UsageError(
            f"{others[0]}: an archive stores only {' and '.join(suffixes)} files, without {len(others):,} others; "
            "leave out --together or --complete"
        )
    from spikey.files.archives import compress_archive

    if others:
        many = f"{len(others):,} other file{'s' * (len(others) > 1)}"
        note(f"{many} left out, as only {' and '.join(suffixes)} files are taken: {', '.join(map(str, others[:5]))}")
    stamps = {path: stamp(path) for _, path in members}
    prepare_kernels()
    start = time.perf_counter()
    with progress_bar(len(members), "files") as advance:
        original, compressed = 0, 0

        def done(outcome: Outcome) -> None:
            nonlocal original, compressed
            original, compressed = original + outcome.original, compressed + outcome.compressed
            advance(1, f"ratio {original / max(compressed, 1):.3f}")

        packing = compress_archive(members, output, settings, done, overwrite=force)
    for outcome in packing.outcomes.values():
        if outcome.note:
            note(outcome.note)
    if packing.note:
        note(packing.note)
    seconds = time.perf_counter() - start
    for error in packing.failures:
        say(f"spikey: {error}")
    removed: list[Path] = []
    kept: list[str] = []
    if remove_inputs and not packing.failures:
        removed, kept = remove((path for _, path in members), stamps)
    for text in kept:
        say(f"spikey: {text}")
    if as_json:
        total = packing.total()
        facts = {
            "output": output,
            "recordings": sorted(packing.outcomes),
            "original_bytes": total.original,
            "compressed_bytes": total.compressed,
            "ratio": round(total.ratio, 4),
            "seconds": round(seconds, 3),
            "failures": [*map(str, packing.failures), *kept],
            "not_stored": [str(path) for path in others],
            "removed": [str(path) for path in removed],
        }
        typer.echo(json.dumps(facts, indent=2))
    elif not is_quiet():
        many = f"{len(packing.entries):,} file{'s' * (len(packing.entries) != 1)}"
        related = (
            f" ({packing.groups:,} group{'s' * (packing.groups > 1)} of simultaneous recordings)"
            if packing.groups
            else ""
        )
        write = say if arguments.to_stdout else typer.echo
        write(summary([packing.total()], seconds, f"compressed {many}{related},"))
    if packing.failures:
        say(f"spikey: {len(packing.failures)} of {len(members)} files could not be compressed and are not in {output}")
    if packing.failures or kept:
        raise typer.Exit(1)


def found(inputs: list[Path], suffixes: tuple[str, ...]) -> tuple[list[tuple[str, Path]], list[Path]]:
    """Files with their names in an archive, folders searched; and the other files in these, Spikey's own left out."""
    members: list[tuple[str, Path]] = []
    others: list[Path] = []
    for path in inputs:
        if not path.is_dir():
            members.append((path.name, path))
            continue
        files = sorted(file for file in path.rglob("*") if file.is_file())
        wanted = [file for file in files if file.suffix.lower() in suffixes]
        some(wanted, path, suffixes)
        others += [file for file in files if file.suffix.lower() not in suffixes and not is_own(file)]
        home = f"{path.absolute().resolve().name}/" if len(inputs) > 1 else ""  # as with folders of outputs
        members += [(home + file.relative_to(path).as_posix(), file) for file in wanted]
    return members, others


def restore(
    path: Path | str,
    arguments: Arguments,
    wanted: list[str],
    salvage: bool,
    jobs: int,
    force: bool,
    skip_existing: bool,
    alone: bool = True,
) -> tuple[Run, list[str]]:
    """Restore an archive, or those of its recordings that are `wanted`, below the output, or one of them as that file;
    what became of them, and what is damaged. alone: whether the failure of a single recording is raised.

    Without an output, below a folder beside the archive that has its name.
    """
    from spikey.container.archive import Archive
    from spikey.files.extraction import restore as restore_one

    output = Path(arguments.inputs[0]).with_suffix("") if arguments.output is None else Path(arguments.output)
    damaged: list[str] = []
    with Archive(path, salvage=salvage) as archive:
        names = [archive.entry(name).name for name in dict.fromkeys(wanted)] or archive.names
        as_file = len(wanted) == 1 and not arguments.folder and arguments.output is not None
        targets = {name: str(output) if as_file else str(output / name) for name in names}
        if not as_file:
            if output.exists() and not output.is_dir():
                raise UsageError(f"{output}: is a file; an archive needs a folder to be restored to")
            for target in targets.values():
                make_folder(Path(target).parent)

        def task(name: str, target: str) -> Task:
            def do(progress: Progress) -> Outcome:
                if skip_existing and not force and os.path.exists(target) and _same(archive, name, path, target):
                    size = os.path.getsize(target)
                    return Outcome(size, archive.entry(name).size, 0, skipped=True)
                within = jobs if len(names) == 1 else 1
                outcome, lost, others = restore_one(
                    archive, name, target, salvage=salvage, jobs=within, progress=progress, overwrite=force
                )
                if lost:
                    cause = f" with {' and '.join(others)}, which it was coded with" if others else ""
                    damaged.append(f"{path}, {name}: {describe_lost(lost)}{cause}; zeros replace the lost samples")
                return outcome

            return Task(name, target, _size_of(archive, name), do)

        prepare_kernels()
        tasks = [task(name, target) for name, target in targets.items()]
        done = run(tasks, "restored", jobs, alone=alone and len(tasks) == 1)
        if not wanted:
            damaged += [f"{path}: {archive.name_of(number)}, is lost" for number in archive.lost]
    return done, sorted(damaged)


def _size_of(archive: Archive, name: str) -> int:
    """The bytes of a recording, 0 where only decoding would show them."""
    try:
        reader = archive.reader(archive.entry(name).number)
    except SpikeyError:
        return 0
    return reader.frames * reader.layout.frame_bytes


def _same(archive: Archive, name: str, path: Path | str, target: str) -> bool:
    """Whether a file was restored from a recording of an archive: same modification time, same bytes."""
    if is_address(path) or not same_file_time(path, target):
        return False
    return matches(archive.open(archive.entry(name).number), target) is not None


def verify(path: Path | str, jobs: int) -> tuple[Run, int]:
    """Verify an archive: what became of its recordings, and how many failures there were, each of which was named."""
    from spikey.container.archive import Archive

    try:
        with Archive(path) as archive:
            return _verify(archive, jobs)
    except SpikeyError as error:
        say(f"spikey: {error}")
    try:
        with Archive(path, salvage=True) as archive:
            done, failures = _verify(archive, jobs)
            return done, failures + 1
    except SpikeyError:
        return Run("verified"), 1


def _verify(archive: Archive, jobs: int) -> tuple[Run, int]:
    from spikey.files.extraction import verify_member

    def task(name: str) -> Task:
        where = f"{archive.name}, {name}"
        return Task(where, "", _size_of(archive, name), lambda progress: verify_member(archive, name, progress))

    for number in archive.lost:
        say(f"spikey: {archive.name}: {archive.name_of(number)}, is lost")
    done = run([task(name) for name in archive.names], "verified", jobs)
    return done, done.failures + len(archive.lost)


def describe(path: Path | str) -> dict[str, Any]:
    """The facts about an archive, by name."""
    from spikey.container.archive import Archive
    from spikey.container.entries import VERSION
    from spikey.files.extraction import describe_archive

    with Archive(path) as archive:
        members = describe_archive(archive)
        total = sum(member.get("sample_bytes", 0) for member in members)
        return {
            "file": str(path),
            "holds": "recordings coded together",
            "archive_version": VERSION,
            "lossless": True,
            "compressed_bytes": archive.file_size,
            "recordings": len(members),
            "sample_bytes": total,
            "ratio": round(total / max(archive.file_size, 1), 4),
            "members": members,
        }


def show_members(members: list[dict[str, Any]]) -> None:
    """The recordings of an archive as a table on standard output."""
    from spikey.cli.tables import show_table

    rows = []
    for member in members:
        with_others = ", ".join(
            f"{c['name']}" + (f":{c['channel']}" if c["channel"] else "") + f" ({c['correlation']:+.2f})"
            for c in member.get("companions", [])
        )
        if member["coded"] == "copy":
            with_others = f"copy of {member['companions'][0]['name']}"
        rate = member.get("rate")
        rows.append(
            [
                member["name"],
                "" if member.get("channels") is None else f"{member['channels']:,}",
                "" if rate is None else f"{rate:,g}",
                "" if member.get("frames") is None else f"{member['frames']:,}",
                f"{member['compressed_bytes']:,}",
                f"{member['ratio']:.4f}" if "ratio" in member else "damaged",
                with_others,
            ]
        )
    show_table(["recording", "channels", "Hz", "frames", "bytes", "ratio", "coded with"], rows)
