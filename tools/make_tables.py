"""Write the tables in `data/tables` anew from their definitions: `python -m tools.make_tables`.

`density.npz` from `spikey.model.table_definitions`, `wide.npz` from `spikey.codec.wide.shape_definitions`.
"""

from __future__ import annotations

import numpy as np

from spikey.base.shipped import FOLDER
from spikey.codec.wide import shape_definitions
from spikey.model import table_definitions

if __name__ == "__main__":
    for name, definitions in (("density", table_definitions), ("wide", shape_definitions)):
        np.savez_compressed(FOLDER / "tables" / f"{name}.npz", **definitions.make())
