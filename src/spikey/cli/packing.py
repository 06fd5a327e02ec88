"""What `spikey compress` is about to write: outputs of all inputs, what they leave out, and what may be removed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from spikey.base.errors import UsageError
from spikey.cli.arguments import Arguments
from spikey.cli.messages import note, say
from spikey.files.names import SUFFIX, derived_name, is_safe, is_wav, packed_name
from spikey.recording.output import is_input, is_special, is_tmp_name, make_folder, sync_folder
from spikey.recording.tree import is_own

if TYPE_CHECKING:
    from spikey.integrations.vendors import Inventory, Item, Unstored

NAMED = 5  # files that are named in a note


class Planned(NamedTuple):
    """An output to be: what goes into it, where it is written to, and the name to store, empty where it follows."""

    item: Item
    root: Path
    target: str
    name: str


@dataclass
class Plan:
    """The outputs of a command line, and all that they leave out, by the inputs that it belongs to."""

    outputs: list[Planned] = field(default_factory=list)
    unstored: list[Unstored] = field(default_factory=list)
    inventories: list[tuple[str, Inventory]] = field(default_factory=list)

    def inputs(self) -> list[Path]:
        """Every file that is read."""
        found = [path for each in self.outputs for path in each.item.covers]
        return found + [each.item.path for each in self.outputs if each.item.path is not None]

    @property
    def failed(self) -> list[Unstored]:
        """Recordings that cannot be read."""
        return [each for each in self.unstored if each.failed]


def plan(
    arguments: Arguments,
    places: dict[str, Path],
    *,
    raw: bool,
    stream: str | None,
    reader: str | None,
    complete: bool,
) -> Plan:
    """Find all recordings among the inputs, and a place for each output.

    places: where each input is read. complete: whether everything below a folder must be restored.

    Raises
    ------
    UsageError
        Two outputs of one name, an output that is an input, several recordings for one output, or, with `complete`,
        a folder that could not be restored file for file.
    """
    from spikey.integrations.vendors import take_inventory

    found = Plan()
    for text in arguments.inputs:
        path = places[text]
        taken = take_inventory(path, raw=raw, stream=stream, reader=reader, complete=complete)
        left = tuple(each for each in taken.unstored if not _is_output(each.path, arguments))
        found.inventories.append((text, taken))
        found.unstored += left
        if complete and left:
            raise UsageError(
                f"{text}: could not be restored file for file: {listed(left)}; nothing was done", code="not-restorable"
            )
        found.outputs += _outputs(arguments, text, taken)
    _check(found)
    folder = arguments.output if arguments.folder else None
    if folder is not None and os.path.exists(folder) and not os.path.isdir(folder):
        raise UsageError(f"{folder}: is a file; several outputs need a folder")
    return found


def plan_below(
    place: Path, home: Path, *, complete: bool, exclude: Collection[Path] = (), among: Collection[Path] | None = None
) -> Plan:
    """The outputs of a folder, below the folder `home`. With `complete`, what could not be restored file for file is in
    the plan's `unstored`, and is not refused.

    exclude: files and folders that are not part of the input. among: the only files that are, if not None.
    """
    from spikey.integrations.vendors import take_inventory

    taken = take_inventory(place, complete=complete, exclude=exclude, among=among)
    beside = Arguments((str(place),), str(home), folder=True)
    left = [each for each in taken.unstored if not _is_output(each.path, beside)]
    found = Plan(_outputs_below(home, taken, True), left, [(str(place), taken)])
    _check(found)
    return found


def _is_output(path: Path, arguments: Arguments) -> bool:
    """Whether a file below an input is an output, unfinished or of an earlier run, and stays where it is."""
    if is_tmp_name(path.name):
        return True
    if arguments.output is None:
        return is_own(path)
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(arguments.output)) and is_own(path)


def _outputs(arguments: Arguments, text: str, taken: Inventory) -> list[Planned]:
    """The outputs of one input."""
    items = taken.items
    if arguments.output is not None and not arguments.folder:
        if len(items) != 1:
            streams = sorted({name for item in items if item.part is not None for name in item.part.names if name})
            choose = f", or choose one with --stream: {', '.join(streams)}" if streams else ""
            raise UsageError(
                f"{text}: contains {len(items):,} recordings; give a folder for the outputs, ending in /{choose}"
            )
        target = arguments.output
        name = "" if arguments.documented or is_special(target) or text == "-" else _stored(items[0], target)
        return [Planned(items[0], taken.root, target, name)]
    is_folder = Path(text).is_dir()
    home = Path(text) if is_folder else Path(text).parent
    if arguments.output is not None:
        home = Path(arguments.output, Path(os.path.abspath(text)).name) if is_folder else Path(arguments.output)
    return _outputs_below(home, taken, is_folder)


def _outputs_below(home: Path, taken: Inventory, is_folder: bool) -> list[Planned]:
    """An output for each item of a folder, or of a file, below the folder `home`."""
    shared = Counter(_place(item) for item in taken.items)
    planned = []
    for item in taken.items:
        below = _place(item, whole=shared[_place(item)] > 1)
        place = str(home / (below if is_folder else below.name))
        planned.append(Planned(item, taken.root, place, _stored(item, place)))
    return planned


def _place(item: Item, whole: bool = False) -> Path:
    """Where an item's output lies below the place of its input's outputs."""
    original = Path(item.name)
    if item.kind == "wav":  # a name that may not be stored has to follow
        return original.with_name(packed_name(original.name, whole or not is_safe(original.name)))
    return original.with_name(original.name + SUFFIX)


def _stored(item: Item, target: str) -> str:
    """The name to store of a file that is compressed by itself, empty where it follows from the output's."""
    name = Path(item.name).name
    kind = item.kind
    if kind == "bytes" and item.path is not None:
        with suppress(OSError), item.path.open("rb") as file:
            kind = "wav" if is_wav(file.read(12)) else kind  # as which it will be restored
    if item.part is not None or derived_name(Path(target).name, kind) == name:
        return ""
    if not is_safe(name):
        note(f"{item.path}: its name cannot be stored, as not every system allows it")
        return ""
    return name


def _check(found: Plan) -> None:
    """Raise UsageError where outputs meet each other or an input."""
    _separate(found)
    taken: dict[str, Planned] = {}
    inputs = tuple(found.inputs())
    for each in found.outputs:
        other = taken.setdefault(os.path.abspath(each.target), each)
        if other is not each:
            one, two = other.item.name, each.item.name
            raise UsageError(f"{one} and {two} would both be written to {each.target}; give them different folders")
        if is_input(each.target, inputs):
            raise UsageError(f"{each.target}: would be read and written at once; name another output", code="same-file")


def _separate(found: Plan) -> None:
    """Give outputs of WAV files that would have the same name one with the input's suffix."""
    shared = Counter(each.target for each in found.outputs)
    for number, each in enumerate(found.outputs):
        if shared[each.target] > 1 and each.item.kind == "wav":
            target = str(Path(each.target).with_name(packed_name(Path(each.item.name).name, whole=True)))
            found.outputs[number] = each._replace(target=target, name=_stored(each.item, target))


def make_folders(found: Plan) -> None:
    """Make the folders of all outputs."""
    for folder in {Path(each.target).parent for each in found.outputs if not is_special(each.target)}:
        make_folder(folder)


def listed(unstored: Iterable[Unstored], most: int = NAMED) -> str:
    """Files with the reasons why they are not stored; at most `most` are named."""
    files = list(unstored)
    parts = [f"{each.path} ({each.reason})" for each in files[:most]]
    more = f" and {len(files) - most:,} more" if len(files) > most else ""
    return ", ".join(parts) + more


def say_unstored(found: Plan) -> None:
    """Name what the outputs leave out."""
    left = [each for each in found.unstored if not each.failed]
    for each in found.failed:
        say(f"spikey: {each.path}: {each.reason}")
    if left:
        size = sum(each.size for each in left)
        are = "file is" if len(left) == 1 else "files are"
        note(f"{len(left):,} {are} not stored ({size:,} bytes): {listed(left)}")


class Stamp(NamedTuple):
    """By which a file is recognised as unchanged."""

    size: int
    changed: int
    node: tuple[int, int]


def stamp(path: Path) -> Stamp:
    """Of a file as it is now."""
    status = path.stat()
    return Stamp(status.st_size, status.st_mtime_ns, (status.st_dev, status.st_ino))


def remove(paths: Iterable[Path], stamps: dict[Path, Stamp]) -> tuple[list[Path], list[str]]:
    """Remove files that are as they were when they were about to be read; return which, and why others were not."""
    removed, failures = [], []
    for path in dict.fromkeys(paths):
        try:
            if path.is_symlink():
                failures.append(f"{path}: is a link, and was not removed")
            elif stamp(path) != stamps[path]:
                failures.append(f"{path}: changed while it was compressed, and was not removed")
            else:
                path.unlink()
                removed.append(path)
        except OSError as error:
            failures.append(f"{path}: cannot be removed ({error.strerror})")
    for folder in {path.parent for path in removed}:
        sync_folder(folder)
    return removed, failures
