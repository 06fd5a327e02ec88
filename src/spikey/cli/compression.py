"""What `spikey compress` and `spikey watch` share: everything in a plan is compressed and compared with its input."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spikey.base.errors import OutputExistsError, SpikeyError
from spikey.cli.common import prepare_kernels
from spikey.cli.messages import note, say
from spikey.cli.packing import Plan, Planned, say_unstored
from spikey.cli.run import Run, Task, run
from spikey.recording.output import is_input, is_taken

if TYPE_CHECKING:
    from spikey.files.settings import Outcome, Progress, Settings


def compress_plan(
    found: Plan,
    settings: Settings,
    *,
    force: bool = False,
    skip_existing: bool = False,
    renew: bool = False,
    alone: bool = False,
) -> Run:
    """Compress all that is planned, by `settings.jobs` threads; what fails is named, counted, and in the result.

    force: whether outputs that exist are replaced. skip_existing: whether those that restore their input are taken as
    done, renew: and those replaced that restore some of its files and nothing else. alone: whether there is one output
    only, whose failure is raised.
    """
    threads = settings.jobs
    each = replace(settings, jobs=threads if len(found.outputs) == 1 else 1)
    say_unstored(found)
    prepare_kernels()

    def task(planned: Planned) -> Task:
        def do(progress: Progress) -> Outcome:
            if not force and is_taken(planned.target):
                same = _same(planned, each.jobs) if skip_existing else None
                if same is not None and _restores_all(planned, same):
                    return same
                if same is not None and renew:
                    return compress_planned(planned, each, progress, force=True)
                other = ", and does not restore this input" if skip_existing else ""
                raise OutputExistsError(planned.target, other)
            return compress_planned(planned, each, progress, force)

        item = planned.item
        return Task(str(item.path or planned.root / item.name), planned.target, item.size, do)

    tasks = [task(planned) for planned in found.outputs]
    passes = 2 if settings.verify else 1
    networks = settings.model is not None and not alone and not skip_existing
    if networks and all(p.item.path is not None and p.item.kind != "bytes" and not p.name for p in found.outputs):
        from spikey.files.batch import AT_ONCE, compress_together

        def several(batch: list[Task]) -> list[Outcome | SpikeyError]:
            pairs = [(Path(each.source), Path(each.target)) for each in batch]
            return [outcome for _, outcome in compress_together(pairs, each, overwrite=force)]

        done = run(tasks, "compressed", threads, together=several, most=AT_ONCE)
    else:
        done = run(tasks, "compressed", threads, passes, alone)
    for result, planned in zip(done.results, found.outputs, strict=True):
        outcome = result.outcome
        if outcome is None or outcome.samples or outcome.note or outcome.skipped or planned.item.kind == "bytes":
            continue
        note(f"{result.task.source} contains no samples")
    done.failures += len(found.failed)
    return done


def removable(found: Plan, done: Run) -> list[Path]:
    """The input files that may be removed: of inputs of which all is compressed. The others are named."""
    files: list[Path] = []
    failed = {id(result.task) for result in done.results if result.outcome is None}
    at = 0
    for text, taken in found.inventories:
        results = done.results[at : at + len(taken.items)]
        at += len(taken.items)
        if any(id(result.task) in failed for result in results) or any(left.failed for left in taken.unstored):
            say(f"spikey: {text}: nothing was removed because not all of it could be compressed")
            continue
        covered = [path for item in taken.items for path in item.covers]
        if not os.path.isdir(text):  # of a single input nothing else, such as its side files
            covered = [path for path in covered if is_input(path, (text,))]
        files += covered
    return files


def compress_planned(planned: Planned, settings: Settings, progress: Progress | None, force: bool) -> Outcome:
    """Compress one output's input."""
    from spikey.files.compress import compress_bytes, compress_file

    item = planned.item
    if item.part is not None:
        return item.part.compress(planned.target, settings, progress, overwrite=force)
    assert item.path is not None
    if item.kind == "bytes":
        return compress_bytes(item.path, planned.target, settings, progress, overwrite=force, name=planned.name)
    return compress_file(item.path, planned.target, settings, progress, overwrite=force, name=planned.name)


def _same(planned: Planned, jobs: int) -> Outcome | None:
    """The outcome where the output was made from this input: same modification time, same bytes of what it restores.

    Where only samples are stored, no file can be compared: the size must be the same, and every checksum right.
    """
    from spikey.files.decompress import verify_file
    from spikey.files.matching import matches, same_file_time

    part = planned.item.part
    if not planned.item.covers:
        if part is None or part.origin is None or not same_file_time(part.origin, planned.target):
            return None
        with suppress(SpikeyError):
            found = verify_file(planned.target, jobs)
            return replace(found, skipped=True) if found.original == part.sample_bytes else None
        return None
    original = planned.item.covers[0]
    if not same_file_time(original, planned.target):
        return None
    return matches(planned.target, original, planned.root if planned.item.part is not None else None, jobs)


def _restores_all(planned: Planned, same: Outcome) -> bool:
    """Whether an output restores all files of an input, where what it restores has been compared with them."""
    from spikey.container.reader import Reader

    item = planned.item
    if not item.covers:
        return True
    if same.original != item.size:
        return False
    if empty := [path for path in item.covers[1:] if not path.stat().st_size]:
        with Reader(planned.target) as reader:
            return all(path.relative_to(planned.root).as_posix() in reader.files for path in empty)
    return True
