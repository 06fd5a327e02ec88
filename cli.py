"""The documented entry point: `python cli.py compress --config config.yaml --input_file A --output_file B`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from spikey.cli import main

if __name__ == "__main__":
    main()
