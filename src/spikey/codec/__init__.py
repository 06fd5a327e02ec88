"""One block: samples to a payload and back. `registry` lists predictors and presets, `builtin` has those that ship.

`samples -> Plan (levels, calibration, references, method) -> EncodedBlock`: `plan`, then `encode`; `decode` is the way
back. `adaptive` is the engine that works sample by sample.
"""

from spikey.codec import builtin as builtin
