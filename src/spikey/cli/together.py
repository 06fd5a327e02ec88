"""What several commands do with archives: `compress --together`, and restoring, verifying and describing them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from spikey.cli.common import make_folder, prepare_kernels, progress_bar, run_files, say, some, summary
from spikey.errors import SpikeyError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikey.container.archive import Archive
    from spikey.files import Outcome, Settings


def compress(inputs: list[Path], output: Path, settings: Settings, suffixes: tuple[str, ...]) -> None:
    """Compress files and folders into one archive; exit status 1 where a recording had to be left out."""
    members, others = found(inputs, suffixes)
    from spikey.archives import compress_archive

    if output.is_dir():
        raise UsageError(f"{output}: is a folder; name a file for the archive")
    if others:
        say(f"note: {others:,} other file{'s' * (others > 1)} left out: only {' and '.join(suffixes)} are taken")
    prepare_kernels()
    start = time.perf_counter()
    with progress_bar(len(members), "files") as advance:
        original, compressed = 0, 0

        def done(outcome: Outcome) -> None:
            nonlocal original, compressed
            original, compressed = original + outcome.original, compressed + outcome.compressed
            advance(1, f"ratio {original / max(compressed, 1):.3f}")

        packing = compress_archive(members, output, settings, done)
    for outcome in packing.outcomes.values():
        if outcome.note:
            say(f"note: {outcome.note}" + ("" if outcome.samples else "; kept losslessly as plain bytes"))
    if packing.note:
        say(f"note: {packing.note}")
    many = f"{len(packing.entries):,} file{'s' * (len(packing.entries) != 1)}"
    related = f" ({packing.groups:,} group{'s' * (packing.groups > 1)} made at once)" if packing.groups else ""
    typer.echo(summary([(output, packing.total())], time.perf_counter() - start, f"compressed {many}{related},"))
    for error in packing.failures:
        say(f"spikey: {error}")
    if packing.failures:
        say(f"spikey: {len(packing.failures)} of {len(members)} files could not be compressed and are not in {output}")
        raise typer.Exit(1)


def found(inputs: list[Path], suffixes: tuple[str, ...]) -> tuple[list[tuple[str, Path]], int]:
    """Files with their names in an archive, folders searched; and how many other files these hold."""
    members: list[tuple[str, Path]] = []
    others = 0
    for path in inputs:
        if not path.is_dir():
            members.append((path.name, path))
            continue
        files = sorted(file for file in path.rglob("*") if file.is_file())
        wanted = [file for file in files if file.suffix.lower() in suffixes]
        some(wanted, path, suffixes)
        others += len(files) - len(wanted)
        members += [(file.relative_to(path).as_posix(), file) for file in wanted]
    return members, others


def restore(path: Path | str, output: Path, wanted: list[str], into: bool, salvage: bool, jobs: int) -> None:
    """Restore an archive, or those of its recordings that are `wanted`, below `output`, or one of them as that file.

    into: whether `output` is meant as a folder.
    """
    from spikey.container.archive import Archive
    from spikey.extraction import restore as restore_one

    start = time.perf_counter()
    damaged: list[str] = []
    with Archive(path, salvage=salvage) as archive:
        names = [archive.entry(name).name for name in dict.fromkeys(wanted)] or archive.names
        alone = len(wanted) == 1 and not into and not output.is_dir()
        targets = {Path(name): output if alone else output / name for name in names}
        if not alone:
            if output.exists() and not output.is_dir():
                raise UsageError(f"{output}: is a file; an archive needs a folder to be restored to")
            for target in targets.values():
                make_folder(target.parent)

        def one(source: Path, target: Path, bar: Callable[[int], None] | None) -> Outcome:
            name = source.as_posix()
            within = jobs if len(names) == 1 else 1
            outcome, lost, others = restore_one(archive, name, target, salvage=salvage, jobs=within, progress=bar)
            if lost:
                from spikey.files import describe_lost

                cause = f" with {' and '.join(others)}, which it was coded with" if others else ""
                damaged.append(f"{path}, {name}: {describe_lost(lost)}{cause}; zeros stand for what is lost")
            return outcome

        done, failures = run_files(list(targets.items()), one, jobs)
        if done:
            typer.echo(summary(done, time.perf_counter() - start, "restored"))
        if not wanted:
            damaged += [f"{path}: {archive.name_of(number)}, is not there any more" for number in archive.lost]
    for text in sorted(damaged):
        say(f"spikey: {text}")
    if failures or damaged:
        if failures:
            say(f"spikey: {failures} of {len(names)} recordings could not be restored")
        raise typer.Exit(1)


def verify(path: Path | str, jobs: int) -> tuple[list[tuple[Path, Outcome]], int]:
    """Verify an archive: outcomes of its recordings, and how many failures there were, each of which has been said."""
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
        return [], 1


def _verify(archive: Archive, jobs: int) -> tuple[list[tuple[Path, Outcome]], int]:
    from spikey.extraction import verify_member

    def one(source: Path, _: Path, bar: Callable[[int], None] | None) -> Outcome:
        return verify_member(archive, source.as_posix(), bar)

    for number in archive.lost:
        say(f"spikey: {archive.name}: {archive.name_of(number)}, is not there any more")
    work = [(Path(name), Path(name)) for name in archive.names]
    if len(work) == 1:  # of which a failure would be raised
        try:
            return *run_files(work, one, jobs)[:1], len(archive.lost)
        except SpikeyError as error:
            say(f"spikey: {error}")
            return [], 1
    done, failures = run_files(work, one, jobs)
    return done, failures + len(archive.lost)


def describe(path: Path | str) -> dict[str, Any]:
    """The facts about an archive, by name."""
    from spikey.container.archive import Archive
    from spikey.container.entries import VERSION
    from spikey.extraction import describe_archive

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
