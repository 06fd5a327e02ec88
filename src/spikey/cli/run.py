"""Many files at once: each a task, with one progress for all, one summary, and the same as JSON for programs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from typing import Any

import typer

from spikey.base.errors import OutputExistsError, SpikeyError
from spikey.base.workers import Workers
from spikey.cli.messages import detail, is_quiet, note, say
from spikey.cli.progress import Meter, progress_bar
from spikey.files.settings import Outcome, Progress


@dataclass(frozen=True)
class Task:
    """One input, its output (empty where there is none), the bytes to process, and what does it."""

    source: str
    target: str
    size: int
    do: Callable[[Progress], Outcome]


@dataclass
class Result:
    """What became of a task."""

    task: Task
    outcome: Outcome | None = None
    error: SpikeyError | None = None

    def facts(self, verb: str) -> dict[str, Any]:
        """For programs."""
        facts: dict[str, Any] = {"input": self.task.source}
        if self.task.target:
            facts["output"] = self.task.target
        if self.outcome is None:
            exists = isinstance(self.error, OutputExistsError)
            return facts | {"status": "exists" if exists else "failed", "error": str(self.error)}
        return facts | {
            "status": "skipped" if self.outcome.skipped else verb,
            "original_bytes": self.outcome.original,
            "compressed_bytes": self.outcome.compressed,
            "ratio": round(self.outcome.ratio, 4),
            "samples": self.outcome.samples,
            "note": self.outcome.note,
        }


@dataclass
class Run:
    """What became of all tasks. verb: what was done to the files."""

    verb: str
    results: list[Result] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)  # further facts for programs
    failures: int = 0
    seconds: float = 0.0

    @property
    def done(self) -> list[tuple[Task, Outcome]]:
        """What was done now."""
        return [(r.task, r.outcome) for r in self.results if r.outcome is not None and not r.outcome.skipped]

    def add(self, other: Run) -> None:
        """Count what became of further tasks as well."""
        self.results += other.results
        self.failures += other.failures
        self.seconds += other.seconds

    def conclude(self, as_json: bool, quiet_output: bool = False) -> None:
        """Write notes, the summary and the number of failures; exit status 1 where something failed.

        quiet_output: standard output is the compressed file's.
        """
        notes = [result.outcome.note for result in self.results if result.outcome is not None]
        for text in dict.fromkeys(filter(None, notes)):  # of many files coded with one model each has the same note
            note(text)
        skipped = sum(r.outcome is not None and r.outcome.skipped for r in self.results)
        if as_json:
            typer.echo(json.dumps(self.facts(), indent=2))
        elif not is_quiet():
            write = say if quiet_output else typer.echo
            if self.done:
                write(summary([outcome for _, outcome in self.done], self.seconds, self.verb))
            if skipped:
                write(f"skipped {skipped:,} file{'s' * (skipped > 1)} whose output exists and restores the same bytes")
        if self.failures:
            say(f"spikey: {self.failures:,} of {len(self.results):,} files could not be {self.verb}")
            raise typer.Exit(1)

    def facts(self) -> dict[str, Any]:
        """For programs."""
        outcomes = [outcome for _, outcome in self.done]
        original, compressed = sum(o.original for o in outcomes), sum(o.compressed for o in outcomes)
        return {
            "files": [result.facts(self.verb) for result in self.results],
            "original_bytes": original,
            "compressed_bytes": compressed,
            "ratio": round(original / compressed, 4) if compressed else 0.0,
            "seconds": round(self.seconds, 3),
            "failures": self.failures,
            **self.extra,
        }


def run(
    tasks: list[Task],
    verb: str,
    jobs: int = 1,
    passes: int = 1,
    alone: bool = False,
    together: Callable[[list[Task]], list[Outcome | SpikeyError]] | None = None,
    most: int = 1,
) -> Run:
    """Do all tasks, `jobs` at a time. Failures are printed and counted; the other tasks continue.

    passes: how often each byte is processed. alone: whether there is one task only, whose failure is raised.
    together: what does several tasks at once, up to `most`.
    """
    result = Run(verb)
    stop = threading.Event()
    start = time.perf_counter()
    with progress_bar(sum(task.size for task in tasks) or None, "bytes") as advance:
        meter = Meter(advance, passes)

        def count(done: int, written: int) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            meter(done, written)

        if alone:
            (task,) = tasks
            result.results.append(Result(task, task.do(meter)))
        else:
            _run_all(result, tasks, count, stop, jobs, together, most)
    result.seconds = time.perf_counter() - start
    return result


def _run_all(
    result: Run,
    tasks: list[Task],
    count: Progress,
    stop: threading.Event,
    jobs: int,
    together: Callable[[list[Task]], list[Outcome | SpikeyError]] | None,
    most: int,
) -> None:
    def do(batch: list[Task]) -> list[Outcome | SpikeyError]:
        if together is not None:
            found = together(batch)
            for task in batch:
                count(task.size, 0)
            return found
        try:
            return [batch[0].do(count)]
        except SpikeyError as error:
            return [error]

    batches = [[task] for task in tasks] if together is None else _cut(tasks, jobs, most)
    found: dict[int, Result] = {}
    with Workers(jobs) as pool:
        futures = {pool.submit(do, batch): batch for batch in batches}
        try:
            for future in as_completed(futures):
                for task, outcome in zip(futures[future], future.result(), strict=True):
                    found[id(task)] = _noted(result, task, outcome)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    result.results += [found[id(task)] for task in tasks]


def _noted(result: Run, task: Task, outcome: Outcome | SpikeyError) -> Result:
    if isinstance(outcome, SpikeyError):
        result.failures += 1
        say(f"spikey: {outcome}")
        return Result(task, error=outcome)
    where = f" > {task.target}" if task.target else ""
    detail(f"{task.source}{where}: {outcome.original:,} bytes, {outcome.compressed:,} compressed")
    return Result(task, outcome)


def _cut(tasks: list[Task], jobs: int, most: int) -> list[list[Task]]:
    """Batches of about equal size, of at most `most` tasks, a whole number for each of `jobs`."""
    rounds = -(-len(tasks) // (jobs * most))
    size = max(-(-len(tasks) // (jobs * max(rounds, 1))), 1)
    return [tasks[at : at + size] for at in range(0, len(tasks), size)]


def summary(outcomes: list[Outcome], seconds: float, verb: str) -> str:
    """One line on what was done: bytes of the originals, side files included, and of the compressed files."""
    original, compressed = sum(o.original for o in outcomes), sum(o.compressed for o in outcomes)
    samples = 0 if any(o.beside for o in outcomes) else sum(o.samples for o in outcomes)
    many = f"{len(outcomes):,} files, " if len(outcomes) > 1 else ""
    bits = f", {8 * compressed / samples:.3f} bits per sample" if samples else ""
    rate = f", {original / seconds / 1e6:.1f} MB/s" if original > 10_000_000 else ""
    return (
        f"{verb} {many}{original:,} bytes as {compressed:,}: ratio {original / max(compressed, 1):.4f}{bits}; "
        f"{seconds:.2f} s{rate}"
    )
