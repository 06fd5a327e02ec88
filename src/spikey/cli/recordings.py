"""Inputs of `spikey compress` that are vendors' folders and files, and what other packages warn of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikey.cli.common import make_folder, say
from spikey.errors import DataError, UsageError

if TYPE_CHECKING:
    from spikey.integrations.vendors import Part


def is_vendors(path: Path) -> bool:
    """Whether an input is a recording that SpikeInterface reads, not a WAV file or a folder of them."""
    from spikey.integrations.discovery import unit_of
    from spikey.recording.tree import is_own

    if path.is_dir():
        return not any(p.suffix.lower() == ".wav" for p in path.rglob("*"))
    return path.is_file() and not is_own(path) and (path.suffix == ".dat" or unit_of(path) is not None)


def vendors_parts(path: Path, output: Path, alone: bool, stream: str | None, reader: str | None) -> dict[Path, Part]:
    """The parts of an input by what they are written to; `alone`: it is the only input."""
    from spikey.inventory import take

    parts = [item.part for item in take(path, stream=stream, reader=reader).items if item.part is not None]
    if not parts:
        raise DataError(f"{path}: contains no recording that can be read")
    one = output.suffix == ".spky" or (path.is_file() and len(parts) == 1)
    if alone and one and not output.is_dir():
        if len(parts) > 1:
            streams = ", ".join(sorted({name for part in parts for name in part.streams if name}))
            raise UsageError(
                f"{path}: becomes {len(parts)} files; name a folder for them, or choose one with --stream: {streams}"
            )
        return {output: parts[0]}
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; {path} needs a folder to be written to")
    targets = {output / f"{part.name}.spky": part for part in parts}
    for target in targets:
        make_folder(target.parent)
    return targets


@contextmanager
def warnings_said() -> Iterator[None]:
    """Say what other packages warn of, each once, in a line."""
    seen: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = " ".join(str(message).split())
        if issubclass(category, UserWarning) and text not in seen:
            seen.add(text)
            say(f"note: {text}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield
