"""`python main.py CONFIG NAME`, the documented form of training."""

from __future__ import annotations

import sys

from spikey.errors import SpikeyError, UsageError


def main(arguments: list[str]) -> None:
    """Run the document NAME of CONFIG; one sentence and status 1 or 2 where that cannot be."""
    try:
        if len(arguments) != 2:
            raise UsageError("usage: python main.py CONFIG.yaml NAME")
        print(train(*arguments))
    except SpikeyError as error:
        sys.stderr.write(f"spikey: {error}\n")
        sys.exit(error.exit_status)


def train(path: str, name: str) -> str:
    """Prepare the predictor of a configuration and say what was done."""
    from spikey.config import load

    config = load(path, name)
    kind = config.predictor.type
    if kind in ("lpc", "lms"):
        return (
            f"{path}, {name}: predictor.type {kind} adapts to each recording as it goes and has nothing to train; "
            f"use it with: python cli.py compress --config {path} --input_file IN.wav --output_file OUT.bin"
        )
    raise UsageError(
        f"{path}, {name}: predictor.type {kind} is not available in this version (training of learned predictors is to "
        "come); lpc and lms are"
    )
