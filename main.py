"""The documented entry point for training: `python main.py config.yaml Test`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from spikey.cli.train import main

if __name__ == "__main__":
    main(sys.argv[1:])
