"""Write `data/tables/density.npz` anew from `spikey.model.table_definitions`: `python -m tools.make_tables`."""

from __future__ import annotations

import numpy as np

from spikey.base.shipped import FOLDER
from spikey.model.table_definitions import make

if __name__ == "__main__":
    np.savez_compressed(FOLDER / "tables" / "density.npz", **make())  # type: ignore[arg-type]
