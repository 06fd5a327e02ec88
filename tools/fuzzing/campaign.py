"""One entry point, mutated inputs for a while: what raises anything but Spikey's errors, or takes too much."""

from __future__ import annotations

import hashlib
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fuzzing.checks import unchecked
from fuzzing.entries import Entry

from spikey.base.errors import SpikeyError
from spikey.base.limits import allowed

SLOW = 10.0  # seconds of the processors that one input may take; the slowest honest one takes a tenth
WORK = 1 << 29  # multiplications allowed for a block: what is within the usual limit takes minutes
GROWTH = 800 << 20  # bytes by which the process may grow for one input
CORPUS = 300  # inputs to mutate: seeds, and mutated ones that were decoded
CHECKED = 0.1  # of the inputs: with checksums on, which only what was written passes
LINE = 60  # seconds between lines of progress


@dataclass
class Finding:
    """An input that did what none may do, and what that was."""

    data: bytes
    kind: str
    detail: str

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.kind}-{hashlib.sha256(self.data).hexdigest()[:10]}"


@dataclass
class Outcome:
    """Inputs that were tried, and those that were decoded, refused; findings, one of each kind and place."""

    tried: int = 0
    decoded: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)

    @property
    def refused(self) -> int:
        """Inputs that raised one of Spikey's errors."""
        return self.tried - self.decoded - len(self.findings)


def attempt(entry: Entry, data: bytes, checked: bool = False, again: bool = True) -> tuple[Finding | None, bool]:
    """Give one input to an entry point: what is wrong with that, and whether it was decoded."""
    before, start = _size(), time.process_time()
    decoded = False
    finding = None
    try:
        if checked:
            entry.run(data, True)
        else:
            with unchecked():
                entry.run(data, False)
        decoded = True
    except SpikeyError as error:
        if "\n" in str(error) or not str(error):
            finding = Finding(data, "text", repr(str(error))[:300])
    except (Exception, SystemExit) as error:
        finding = Finding(data, type(error).__name__, _where(error))
    taken, grown = time.process_time() - start, _size() - before
    if finding is None and taken > SLOW and again:
        return attempt(entry, data, checked, again=False)  # compiled by now
    if finding is None and taken > SLOW:
        finding = Finding(data, "slow", f"{taken:.1f} s")
    if finding is None and grown > GROWTH:
        finding = Finding(data, "memory", f"{grown >> 20} MiB")
    return finding, decoded


def run(
    entry: Entry,
    seconds: float,
    seed: int,
    keep: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Try mutated inputs for some seconds, the same ones for the same seed; findings go into the folder `keep`.

    The input in hand lies in `keep` too, so that one that ends the process is not lost.
    """
    allowed.work = min(allowed.work, WORK)
    rng = random.Random(f"{entry.name} {seed}")
    corpus = entry.seeds()
    seeds = len(corpus)
    for data in corpus:
        finding, _ = attempt(entry, data, True)  # also compiles what is compiled on first use
        if finding is not None and finding.kind not in ("slow", "memory"):
            raise SystemExit(f"{entry.name}: a seed fails ({finding.kind}: {finding.detail})")
    outcome = Outcome()
    start = line = time.monotonic()
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    while (now := time.monotonic()) - start < seconds:
        if now - line > LINE:
            line = now
            say(f"{entry.name}: {now - start:.0f} s, {outcome.tried:,} inputs, {len(outcome.findings)} findings")
        data = entry.mutate(rng.choice(corpus), corpus, entry.words, rng)
        checked = rng.random() < CHECKED
        if keep is not None:
            (keep / f"{entry.name}.current").write_bytes(data)
        finding, decoded = attempt(entry, data, checked)
        outcome.tried += 1
        outcome.decoded += decoded and finding is None
        if finding is not None:
            _note(outcome, entry, finding, keep, say)
        elif decoded and not checked and rng.random() < 0.2:
            if len(corpus) < CORPUS:
                corpus.append(data)
            else:
                corpus[rng.randrange(seeds, CORPUS)] = data
    if keep is not None:
        (keep / f"{entry.name}.current").unlink(missing_ok=True)
    return outcome


def _note(outcome: Outcome, entry: Entry, finding: Finding, keep: Path | None, say: Callable[[str], None]) -> None:
    """Keep the first finding of each kind and place."""
    key = f"{finding.kind} {finding.detail if finding.kind not in ('slow', 'memory') else ''}"
    if key in outcome.findings:
        outcome.tried -= 1
        return
    outcome.findings[key] = finding
    say(f"{entry.name}: {finding.kind}: {finding.detail}")
    if keep is not None:
        folder = keep / entry.name
        folder.mkdir(exist_ok=True)
        (folder / finding.name).write_bytes(finding.data)


def _where(error: BaseException) -> str:
    """The message, and the innermost line of Spikey's that it came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/spikey/" in frame.filename]
    frames = frames or traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    return f"{Path(last.filename).name}:{last.lineno} {last.name}: {error}"[:300]


def _size() -> int:
    """The most memory that the process has had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10
