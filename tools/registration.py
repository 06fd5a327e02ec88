"""What is going to be sent to register Spikey's names with Zarr and HDF5: `python -m tools.registration`.

    python -m tools.registration            # writes registration/ anew
    python -m tools.registration --check    # names what is not as it would be written, exit status 1

Texts, schema and example derive from docs/plugins.md and the package, so that they follow the format. Nothing is sent
before the format is frozen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from spikey.codec.registry import ranked
from spikey.integrations.calibrations import AUTO, NONE, TEXT
from spikey.integrations.chunk import DEFAULTS, VERSION, encode_chunk
from spikey.integrations.hdf5 import FILTER_ID, FILTER_NAME
from spikey.model.calibration import shipped_names

ROOT = Path(__file__).parents[1]
FOLDER = "registration"
CODEC = f"{FOLDER}/zarr-extensions/codecs/spikey"
EXAMPLE = f"{CODEC}/examples/recording"
REQUEST = f"{FOLDER}/hdf5-filter.md"
NOT_YET = "**Not to be sent before format 1.0 is frozen.** Made by `python -m tools.registration`; do not edit."
SHAPE, CHUNK = (96, 3), (64, 3)


def example() -> np.ndarray:
    """Samples that a formula gives: frame t of channel c is ((c + 3)^2 * t^2 div 7) mod 129 - 64."""
    frame, channel = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.asarray(((channel + 3) ** 2 * frame**2 // 7) % 129 - 64, dtype="<i2")


def chunks(samples: np.ndarray) -> dict[str, bytes]:
    """The chunks of the example by key; those at the end are filled up, as Zarr does."""
    found = {}
    for number, first in enumerate(range(0, SHAPE[0], CHUNK[0])):
        chunk = np.zeros(CHUNK, samples.dtype)
        part = samples[first : first + CHUNK[0]]
        chunk[: len(part)] = part
        found[f"c/{number}/0"] = encode_chunk(chunk, DEFAULTS, order="C")
    return found


def array_metadata() -> dict[str, Any]:
    """`zarr.json` of the example."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(SHAPE),
        "data_type": "int16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(CHUNK)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": FILTER_NAME}],
        "attributes": {},
    }


def schema() -> dict[str, Any]:
    """The codec's metadata as a JSON schema, from what `spikey.integrations.chunk.Options` takes."""
    names = [AUTO, NONE, *shipped_names()]
    options: dict[str, Any] = {
        "preset": {"enum": ranked(), "default": DEFAULTS.preset},
        "model": {"type": "string", "minLength": 1},
        "calibration": {
            "anyOf": [{"enum": names}, {"type": "string", "pattern": f"^{TEXT}[A-Za-z0-9+/]+=*$"}],
            "default": DEFAULTS.calibration,
        },
        "jobs": {"type": "integer", "minimum": 1, "default": DEFAULTS.jobs},
        "verify": {"type": "boolean", "default": DEFAULTS.verify},
    }
    assert set(options) == set(vars(DEFAULTS)), "an option of the codec has no schema"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": NOT_YET.replace("*", "").replace("`", ""),
        "type": "object",
        "properties": {
            "name": {"const": FILTER_NAME},
            "configuration": {"type": "object", "properties": options, "additionalProperties": False},
        },
        "required": ["name"],
        "additionalProperties": False,
    }


def section(page: str, heading: str) -> str:
    """A section of a page without its heading; links become text, as the pages that they lead to are not sent along."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    if found is None:
        raise SystemExit(f"docs/plugins.md has no section {heading!r}")
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", found[1]).strip()


def readme(page: str, samples: np.ndarray) -> str:
    """The page of the codec, arranged as those of zarr-extensions are."""
    rows = re.findall(r"^\| (`\w+` \| .*) \|$", section(page, "Options"), re.MULTILINE)
    assert len(rows) == len(vars(DEFAULTS)), "an option of the codec is not documented"
    listed = "\n".join(f"- {row.replace(' | ', ', default ', 1).replace(' | ', ': ', 1)}" for row in rows)
    return f"""<!-- {NOT_YET} -->

{NOT_YET}

# Spikey codec

Defines an `array -> bytes` codec that compresses recordings of neural activity, arrays (time, channels) of integers,
without loss. Arrays of other types are compressed by a general method.

Section numbers refer to `docs/format.md` in Spikey's repository. Before this is sent, that file
is put beside this one, or its public address here.

## Codec name

The value of the `name` member in the codec object MUST be `{FILTER_NAME}`.

## Configuration parameters

All are optional, and so is `configuration` itself. None is needed to decode, except a calibration of your own.

{listed}

## Example

```json
{json.dumps({"name": FILTER_NAME, "configuration": {"preset": ranked()[1]}}, indent=4)}
```

`examples/recording` is an array of {SHAPE[0]} frames of {SHAPE[1]} channels in chunks of {CHUNK[0]} frames.
Frame t of channel c, both from 0, is ((c + 3)² · t² div 7) mod 129 - 64. The SHA-256 of its samples in C order,
little-endian, is `{hashlib.sha256(samples.tobytes()).hexdigest()}`.

## Format and algorithm

{section(page, "The chunk format").replace("### ", "#### ")}

## Change log

- Version {VERSION} of the chunk: the first that is registered.

## Current maintainers

Those of Spikey (to be named when this is sent).
"""


def request(page: str) -> str:
    """The text of the request to the HDF Group for a number of a filter."""
    chunk = section(page, "The chunk format")
    parameters = re.search(r"^The HDF5 filter's parameters are .*?\n\n", chunk, re.MULTILINE | re.DOTALL)
    assert parameters is not None, "docs/plugins.md does not specify the parameters of the filter"
    return f"""{NOT_YET}

# Request for an HDF5 filter number

To the HDF Group, for the list of registered filter plug-ins.

- Name of the filter: `{FILTER_NAME}`.
- Number: one that the HDF Group assigns. {FILTER_ID}, of the range for everyone, is used until then and stays readable.
- What it does: compresses chunks (time, channels) of integers, recordings of neural activity, without loss; chunks of
  other types by a general method.
- Kind: optional. Chunks describe themselves, carry their own checksums, and vary in size.
- Encoder and decoder: the Python package `spikey-codec`, through h5py. A plug-in in C, which HDF5 loads itself, does
  not exist yet.
- Licence: MIT.
- Specification: `docs/plugins.md`, "The chunk format", and `docs/format.md` in Spikey's repository, whose public
  address has to be put here.
- Contact: to be named when this is sent.

## Parameters

{parameters[0].strip()}

## Compatibility

Chunks of released versions stay readable. A chunk starts with the bytes `b5 53 43` and its version,
which is {VERSION}; a reader refuses versions that it does not support.
"""


def made() -> dict[str, bytes]:
    """Every file of registration/, by its path below the root."""
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    samples = example()
    files = {
        f"{CODEC}/README.md": readme(page, samples).encode(),
        f"{CODEC}/schema.json": _json(schema()),
        f"{EXAMPLE}/zarr.json": _json(array_metadata()),
        REQUEST: request(page).encode(),
    }
    return files | {f"{EXAMPLE}/{key}": chunk for key, chunk in chunks(samples).items()}


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def differing(files: dict[str, bytes], root: Path) -> list[str]:
    """Paths of files that are not there, are others, or are there and should not be."""
    there = {path.relative_to(root).as_posix() for path in (root / FOLDER).rglob("*") if path.is_file()}
    changed = {path for path in there & set(files) if (root / path).read_bytes() != files[path]}
    return sorted((there ^ set(files)) | changed)


def main() -> None:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    files = made()
    others = differing(files, ROOT)
    if check:
        if others:
            sys.exit(f"not as `python -m tools.registration` writes them: {', '.join(others)}")
        return
    for path in others:
        target = ROOT / path
        if path in files:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(files[path])
        else:
            target.unlink()
        print(path)


if __name__ == "__main__":
    main()
