"""Inputs and outputs on a command line, by the grammar that `spikey compress` and `spikey decompress` share."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spikey.base.errors import DataError, UsageError
from spikey.files.names import SUFFIX
from spikey.recording.output import STDOUT, is_descriptor, is_special
from spikey.recording.remote import is_address

STDIN = "-"


@dataclass(frozen=True)
class Arguments:
    """What a command line asks for.

    output: None writes each output beside its input. folder: whether `output` is one. documented: whether the output
    was given as --output_file, which is replaced where it exists.
    """

    inputs: tuple[str, ...]
    output: str | None = None
    folder: bool = False
    documented: bool = False

    @property
    def to_stdout(self) -> bool:
        """Whether the output is standard output, or another pipe or device."""
        return self.output is not None and not is_address(self.output) and is_special(self.output)


def parse(
    paths: list[str] | None,
    output: str | None = None,
    input_file: str | None = None,
    output_file: str | None = None,
    *,
    packs: bool,
    archive: bool = False,
) -> Arguments:
    """Separate the inputs from the output.

    A single path is always an input. Of several, the last is the output if it ends in `/`, is a folder, ends in `.spky`
    (packs; otherwise: does not), or does not exist while there is one input only; else all are inputs. `output`, from
    --output, overrides that. `-` stands for standard input, and as the output for standard output. archive: whether one
    file is made of all inputs.

    Raises
    ------
    UsageError
        For what the grammar does not allow.
    """
    texts = paths or []
    if any(text == "" for text in (*texts, output, input_file, output_file)):
        raise UsageError("an empty path names no file")
    if input_file is not None or output_file is not None:
        if texts or output is not None or input_file is None or output_file is None:
            raise UsageError("give either IN and OUT, or both --input_file and --output_file")
        return Arguments((input_file,), _place(output_file), documented=True)
    if not texts:
        raise UsageError(f"give an input, as in: spikey {'compress a.wav' if packs else 'decompress a.spky'}")
    if output is not None:
        needed = not archive and _needs_folder(texts, output, packs)
        return Arguments(tuple(texts), _place(output), _is_folder(output) or needed)
    if texts == [STDIN]:
        return Arguments((STDIN,), STDOUT)
    *inputs, last = texts
    if not inputs:
        return Arguments((last,))
    if archive and (_is_output(last, inputs, packs) or not os.path.exists(last)):
        return Arguments(tuple(inputs), _place(last), _is_folder(last))
    if _is_output(last, inputs, packs):
        if len(inputs) > 1 and not _is_folder(last) and not is_address(last):
            why = "is a file" if os.path.exists(last) else "no such file"
            raise UsageError(f"{last}: {why}; a folder for outputs ends in /")
        return Arguments(tuple(inputs), _place(last), _is_folder(last) or _needs_folder(inputs, last, packs))
    if not os.path.exists(last):
        raise UsageError(f"{last}: no such file; a folder for outputs ends in /")
    return Arguments(tuple(texts))


def _is_output(last: str, inputs: list[str], packs: bool) -> bool:
    if _is_folder(last) or is_address(last) or last == STDIN or is_special(last):
        return True
    return last.lower().endswith(SUFFIX) == packs or (len(inputs) == 1 and not os.path.exists(last))


def _is_folder(text: str) -> bool:
    return text.endswith(("/", os.sep)) or os.path.isdir(text)


def _needs_folder(inputs: list[str], output: str, packs: bool) -> bool:
    """Whether the outputs of some inputs need a folder; one of a vendor's folder may be given as a `.spky` file."""
    if len(inputs) > 1:
        return True
    return os.path.isdir(inputs[0]) and not (packs and output.lower().endswith(SUFFIX))


def _place(output: str) -> str:
    return STDOUT if output == STDIN else output


def check_inputs(inputs: tuple[str, ...]) -> None:
    """DataError for an input that does not exist, ends in `/` and is not a folder, or is a named pipe or a device."""
    for text in inputs:
        if is_address(text) or text == STDIN:
            continue
        if text.endswith(("/", os.sep)) and not os.path.isdir(text):
            raise DataError(f"{text}: no such folder", code="not-found")
        if not os.path.lexists(text):
            raise DataError(f"{text} does not exist", code="not-found")
        if is_special(text) and not is_descriptor(text):
            raise DataError(f"{text} is not a regular file; - reads standard input")


@contextmanager
def spooled(inputs: tuple[str, ...]) -> Iterator[dict[str, Path]]:
    """Where to read each input: standard input and other open pipes are copied to temporary files, to be read twice."""
    with tempfile.TemporaryDirectory(prefix="spikey-") as folder:
        found: dict[str, Path] = {}
        for number, text in enumerate(inputs):
            if text != STDIN and (is_address(text) or not is_descriptor(text)):
                found[text] = Path(text)
                continue
            found[text] = Path(folder, "standard input" if text == STDIN else f"input{number}")
            try:
                with found[text].open("wb") as copy:
                    if text == STDIN:
                        shutil.copyfileobj(sys.stdin.buffer, copy, 1 << 20)
                    else:
                        with open(text, "rb") as file:
                            shutil.copyfileobj(file, copy, 1 << 20)
            except (OSError, AttributeError) as error:
                raise DataError(f"{text}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
        yield found
