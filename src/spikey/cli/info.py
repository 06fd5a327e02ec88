"""`spikey info`."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikey.base.errors import DataError
from spikey.cli import options
from spikey.cli.chosen import summarise
from spikey.cli.common import prepare_kernels
from spikey.cli.messages import say

if TYPE_CHECKING:
    from spikey.container.reader import Reader

MOST_LEVELS = 3  # kinds of levels that are printed


def command(
    paths: Annotated[list[str], typer.Argument(metavar="FILE...", help="Compressed files, or their addresses.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON array, for programs.", rich_help_panel=options.MESSAGES)
    ] = False,
) -> None:
    """Describe compressed files: samples, sizes, predictor, calibration, contents.

    Only files of one block are decoded, to check that they are complete; spikey verify checks all blocks.

    Examples
    --------
    spikey info a.spky
    spikey info packed/*.spky --json
    """
    from spikey.cli.telemetry_decode import describe as describe_telemetry
    from spikey.cli.telemetry_decode import words as telemetry_words
    from spikey.cli.together import describe as describe_archive
    from spikey.cli.together import show_members
    from spikey.container.archive import is_archive
    from spikey.files.decompress import INCOMPLETE
    from spikey.telemetry.file import is_telemetry

    def facts_of(path: str) -> dict[str, Any]:
        if is_telemetry(path):
            return describe_telemetry(path)
        return describe_archive(path) if is_archive(path) else describe(path, check=True)

    facts, failures = [], 0
    for path in paths:
        try:
            facts.append(facts_of(path))
        except DataError as error:
            say(f"spikey: {error}")
            failures += 1
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        facts = []
    for entry in facts:
        if entry.get("complete") is False:
            say(f"note: {entry['file']} {INCOMPLETE}")
        members = entry.pop("members", [])
        summarise(entry)
        show(telemetry_words(entry) if "missing_spans" in entry else entry)
        typer.echo("")
        if members:
            show_members(members)
            typer.echo("")
    if failures:
        raise typer.Exit(1)


def show(facts: dict[str, Any]) -> None:
    """Facts for a person, a line each."""
    for key, value in facts.items():
        typer.echo(f"{key.replace('_', ' '):>20}  {_shown(value)}")


def _check_single(reader: Reader) -> None:
    """Raise DamagedError if a file of one block is not intact; a file whose model is missing is not checked."""
    from spikey.base.errors import DamagedError
    from spikey.container.layout import BLOCK_BYTES, BYTES

    prepare_kernels()
    try:
        if reader.header.wrapper == BYTES:
            list(reader.around(BLOCK_BYTES))
        else:
            reader.read(0, reader.frames)
    except DamagedError:
        raise
    except DataError:
        if reader.header.wrapper == BYTES:
            raise


def _streams(metadata: dict[str, Any]) -> dict[str, int]:
    """Names of the streams with their numbers of channels."""
    return {stream["name"]: len(stream["columns"]) for stream in metadata.get("streams", [])}


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(each)}" for key, each in value.items()) or "none"
    if value is None or isinstance(value, bool):
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, list):
        return " ".join(map(_shown, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def describe(path: str | Path, check: bool = False) -> dict[str, Any]:
    """The description of one file, by name. check: decode a file of one block, whose end nothing else marks."""
    from spikey.codec.payload import predictor_in
    from spikey.container.layout import BLOCK_SAMPLES, BYTES, VERSION, WRAPPERS
    from spikey.container.reader import Reader
    from spikey.container.records import MODEL

    with Reader(path, lossy=True, correction=True) as reader:
        if check and reader.header.single:
            _check_single(reader)
        header = reader.header
        facts: dict[str, Any] = {
            "file": str(path),
            "format_version": VERSION,
            "lossless": reader.lossy is None and not reader.corrects,
            "holds": WRAPPERS[header.wrapper],
            "complete": reader.complete,
            "compressed_bytes": reader.file_size,
            "blocks": len(reader.structure.blocks),
        }
        if header.wrapper == BYTES:
            note = "not integer PCM: stored without loss and without a model"
            return facts | {
                "original_bytes": header.frames,
                "ratio": round(header.frames / reader.file_size, 4),
                "note": note,
            }
        layout = reader.layout
        sample_bytes = reader.frames * layout.frame_bytes
        facts |= {
            "channels": layout.channels,
            "rate": layout.rate,
            "frames": reader.frames,
            "seconds": round(reader.frames / layout.rate, 6) if layout.rate else None,
            "dtype": layout.dtype,
            "sample_bytes": sample_bytes,
            "ratio": round(sample_bytes / reader.file_size, 4),
            "calibration": header.calibration.hex() or None,
            "calibration_embedded": header.record(1) is not None,
            "model": reader.model_id.hex() or None,
            "model_embedded": len(header.record(MODEL) or b"") > 4,
        }
        with suppress(DataError):  # a calibration that is missing; the facts about the file are still listed
            calibration = reader.calibration()
            facts["code_widths"] = None if calibration is None else calibration.words()
        if reader.lossy is not None:
            facts["lossy"] = reader.lossy.facts()
        if reader.corrects:
            facts["corrects"] = reader.corrects.hex()
        if reader.file_map is not None:
            facts["restored_files"] = list(reader.file_map.names)
        if reader.metadata:
            facts["source"] = reader.metadata.get("source")
            facts["streams"] = _streams(reader.metadata)
            facts["side_files"] = reader.files
            if (names := reader.metadata.get("not_stored")) and isinstance(names, list):
                facts["not_stored"] = [str(name) for name in names]
                facts["not_stored_count"] = reader.metadata.get("not_stored_count", len(names))
        first = next((b for b in reader.structure.blocks if b.kind == BLOCK_SAMPLES and b.size), None)
        if first is not None:
            facts["predictor"] = predictor_in(reader.method_byte(first))
            with suppress(DataError):  # a damaged block; the facts about the file are still listed
                found = reader.facts(first)
                facts |= found.method
                if any(found.references):
                    facts["references"] = found.references
                levels = list(dict.fromkeys(found.levels))
                if levels:
                    facts["levels"] = "; ".join(levels[:MOST_LEVELS]) + ("; ..." if len(levels) > MOST_LEVELS else "")
        return facts
