"""What several commands share: inputs and outputs, settings, many files at once, progress, the compilation's notice."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikey.errors import SpikeyError, UsageError

if TYPE_CHECKING:
    from spikey.config import Config
    from spikey.files import Outcome, Settings
    from spikey.model.trained import Model


def say(text: str) -> None:
    """A line for a person, on standard error, so that standard output stays for answers."""
    sys.stderr.write(text + "\n")


def prepare_kernels() -> None:
    """Have the first compilation say that it is happening."""
    from spikey.kernels import announce_compilation

    announce_compilation(lambda: say("compiling the kernels, once on this machine (up to a minute) ..."))


def in_and_out(paths: list[Path] | None, input_file: Path | None, output_file: Path | None) -> tuple[list[Path], Path]:
    """Inputs and output from `IN... OUT` or from --input_file and --output_file."""
    if input_file is not None or output_file is not None:
        if paths or input_file is None or output_file is None:
            raise UsageError("give either IN and OUT, or both --input_file and --output_file")
        return [input_file], output_file
    if not paths or len(paths) < 2:
        raise UsageError("give an input and an output, as in: spikey compress recording.wav recording.spky")
    return paths[:-1], paths[-1]


def some(files: list[Any], folder: Path | str, suffixes: tuple[str, ...]) -> None:
    """Raise UsageError where a folder holds none of the files that it was searched for."""
    if not files:
        raise UsageError(f"{folder}: holds no files that end in {' or '.join(suffixes)}")


def recordings_in(folder: Path, raw: bool) -> list[Path]:
    """The recordings in a folder, of one kind, so that none counts twice: raw ones if so described, WAV, else .spky."""
    for suffixes in ((".raw", ".dat", ".bin"),) if raw else ((".wav",), (".spky",)):
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
        if found:
            return found
    raise UsageError(f"{folder}: holds no {'.raw, .dat or .bin' if raw else 'WAV or .spky'} files")


def pairs(
    inputs: list[Path], output: Path, suffixes: tuple[str, ...], rename: Callable[[Path], str]
) -> list[tuple[Path, Path]]:
    """Each input file with its output; folders are searched for `suffixes` and mirrored below `output`.

    rename: the name of an output whose folder alone is given; one with folders in it is put there.
    """
    if len(inputs) == 1 and not inputs[0].is_dir():
        if not output.is_dir():
            return [(inputs[0], output)]
        target = output / rename(inputs[0])
        make_folder(target.parent)
        return [(inputs[0], target)]
    found = []
    for path in inputs:
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
            some(files, path, suffixes)
            found += [(file, output / _beside(file.relative_to(path).parent, rename(file))) for file in files]
        else:
            found.append((path, output / rename(path)))
    taken: dict[Path, Path] = {}
    for source, target in found:
        if target in taken:
            raise UsageError(f"{source} and {taken[target]} would both be written to {target}")
        taken[target] = source
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; several inputs need a folder to be written to")
    for _, target in found:
        make_folder(target.parent)
    return found


def make_folder(path: Path) -> None:
    """Make a folder, unless it is there; UsageError where that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be made ({error.strerror})") from None


def _beside(folder: Path, name: str) -> Path:
    """A name below a folder; folders in the name that the folder ends in already are not repeated."""
    inner = Path(name).parent.parts
    return folder / Path(name).name if inner and folder.parts[-len(inner) :] == inner else folder / name


def settings_from(
    config: Path | None,
    document: str | None,
    preset: str | None,
    model: str | None,
    calibration: str | None,
    raw: tuple[int | None, float | None, str | None],
) -> Settings:
    """What a configuration and the options ask for; options come first."""
    from spikey.files import Settings
    from spikey.model.calibration import load, n1

    options: dict[str, Any] = {"preset": preset}
    wanted = calibration
    if preset is not None and model is not None:
        raise UsageError("give either --preset or --model")
    if config is not None:
        from spikey.config import load as load_config

        stated = load_config(config, document)
        options = {
            "preset": preset or stated.preset,
            "predictor": stated.predictor.type,
            "coder": stated.bitstream_encoding.type,
            "delta": stated.preprocessing.use_delta_encoding,
        }
        if preset is None and model is None and stated.predictor.type not in ("lpc", "lms"):
            options["model"] = model_of(config, stated)
        wanted = calibration or stated.calibration
    elif document is not None:
        raise UsageError("--name chooses a document of a configuration, which --config gives")
    if model is not None:
        from spikey.model.trained import named

        options["model"] = named(model)
    embed = None
    if wanted in (None, "auto", "none"):
        chosen = None
    elif wanted == "n1":
        chosen = n1()
    else:
        chosen = load(wanted)
        embed = chosen.to_bytes()
    layout = raw_layout(*raw)
    return Settings(calibration=chosen, embed=embed, estimate=wanted in (None, "auto"), raw=layout, **options)


def raw_layout(channels: int | None, rate: float | None, dtype: str | None) -> tuple[int, float, str] | None:
    """What the options say of a raw input, or None where they say nothing."""
    stated = [value is not None for value in (channels, rate, dtype)]
    if any(stated) and not all(stated):
        raise UsageError("a raw input needs all three of --channels, --rate and --dtype")
    return (channels, rate, dtype) if channels is not None and rate is not None and dtype is not None else None


def trained_file(stated: Config) -> Path:
    """Where a configuration's training puts its model."""
    return Path(stated.training.save_path) / f"{stated.name}.safetensors"


def model_of(config: Path, stated: Config) -> Model:
    """The model that a configuration has been trained to, or else a shipped one of its architecture."""
    from dataclasses import asdict

    from spikey.model.trained import OWN, Model, architecture, listed, named

    trained = trained_file(stated)
    sizes = stated.predictor.model_dump()
    wanted = architecture(**sizes, delta=stated.preprocessing.use_delta_encoding)
    if trained.is_file():
        model = named(str(trained))
        if model.architecture != wanted:
            raise UsageError(
                f"{trained}: is a model of {asdict(model.architecture)}, where {config} describes {asdict(wanted)}; "
                "train it again"
            )
        return model
    for path, known in listed():
        # Of the user's own, which may be trained on anything, only the one of that name will do.
        if path.parent != OWN and isinstance(known, Model) and known.architecture == wanted:
            say(f"note: {trained} is not there; using {known.name} ({path})")
            return named(str(path))
    raise UsageError(
        f"{config}: predictor.type {stated.predictor.type} needs a trained model, and there is none at {trained}; "
        f"train it with: python main.py {config} {stated.name}"
    )


@contextmanager
def progress_bar(total: int | None, unit: str) -> Iterator[Callable[..., None]]:
    """A bar on standard error where a person sees it: call it with the amount done and a note; silent elsewhere."""
    if not sys.stderr.isatty():
        yield lambda amount, note="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=total, note="")
        yield lambda amount, note="": bar.update(task, advance=amount, note=note)


Pair = tuple[Path, Path]  # input and output


def run_files(
    work: list[Pair], one: Callable[[Path, Path, Callable[[int], None] | None], Outcome], jobs: int
) -> tuple[list[tuple[Path, Outcome]], int]:
    """Do `one` for each pair, `jobs` at a time, with a bar; failures are said and counted, the rest goes on."""
    if len(work) == 1:
        prepare_kernels()
        source, target = work[0]
        with progress_bar(None, "samples") as advance:
            return [(source, one(source, target, lambda n: advance(n)))], 0
    stop = threading.Event()

    def go_on(_: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt

    def batch(pairs: list[Pair]) -> list[tuple[Path, Outcome | SpikeyError]]:
        source, target = pairs[0]
        try:
            return [(source, one(source, target, go_on))]
        except SpikeyError as error:
            return [(source, error)]

    return run_batches([[pair] for pair in work], batch, jobs, stop)


def run_batches(
    batches: list[list[Pair]],
    do: Callable[[list[Pair]], list[tuple[Path, Outcome | SpikeyError]]],
    jobs: int,
    stop: threading.Event | None = None,
) -> tuple[list[tuple[Path, Outcome]], int]:
    """`run_files` for a function that takes several pairs; `stop` is set when a person interrupts."""
    prepare_kernels()
    done: list[tuple[Path, Outcome]] = []
    failures, original, compressed, start = 0, 0, 0, time.perf_counter()
    with progress_bar(sum(map(len, batches)), "files") as advance, ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(do, batch) for batch in batches]
        try:
            for future in as_completed(futures):
                for source, outcome in future.result():
                    if isinstance(outcome, SpikeyError):
                        say(f"spikey: {outcome}")
                        failures += 1
                        advance(1)
                        continue
                    done.append((source, outcome))
                    original += outcome.original
                    compressed += outcome.compressed
                    rate = original / (time.perf_counter() - start) / 1e6
                    advance(1, f"ratio {original / max(compressed, 1):.3f}, {rate:.1f} MB/s")
        except BaseException:
            if stop is not None:
                stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return done, failures


def cut(work: list[Pair], jobs: int, most: int) -> list[list[Pair]]:
    """Batches of about equal size, of at most `most` pairs, a whole number for each of `jobs`."""
    rounds = -(-len(work) // (jobs * most))
    size = -(-len(work) // (jobs * rounds))
    return [work[at : at + size] for at in range(0, len(work), size)]


def summary(done: list[tuple[Path, Outcome]], seconds: float, verb: str) -> str:
    """One line on what was done."""
    original, compressed = sum(o.original for _, o in done), sum(o.compressed for _, o in done)
    samples = sum(o.samples for _, o in done)
    many = f"{len(done):,} files, " if len(done) > 1 else ""
    bits = f", {8 * compressed / samples:.3f} bits per sample" if samples else ""
    rate = f", {original / seconds / 1e6:.1f} MB/s" if original > 10_000_000 else ""
    return (
        f"{verb} {many}{original:,} bytes as {compressed:,}: ratio {original / max(compressed, 1):.4f}{bits}; "
        f"{seconds:.2f} s{rate}"
    )
