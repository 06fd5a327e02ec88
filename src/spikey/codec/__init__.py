"""One block: samples to a payload and back. `registry` lists predictors and presets, `builtin` has those that ship.

`samples -> Survey (levels, codes, calibration) -> EncodedBlock`: `survey`, then `encode`, which has the engine of the
predictor write the payload; `decode` is the way back. `adaptive` has the engines that work sample by sample.
"""

from spikey.codec import builtin as builtin
