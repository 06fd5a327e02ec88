"""The `.spky` file: header, blocks, index, checksums. `docs/format.md` is its specification.

`layout` contains the structures as bytes; `writer` and `reader` are a pair. A `Reader` slices; under it are `input`
(bytes by position), `structure` (parsing), `blocks` (one block, checked), `cache`, `dependencies` (calibration and
network) and `restoration` (lossy files). `entries`, `archive` and `archive_writer` do the same for many
recordings in one file. `embedding` and `hold` decide whether a trained network is in a file.
"""
