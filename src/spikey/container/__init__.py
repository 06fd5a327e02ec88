"""The `.spky` file: header, blocks, index, checksums. `docs/format.md` is its specification.

`layout` holds the structures, `writer` and `reader` are a pair; `entries` and `archive` likewise for many recordings in
one file. `embedding` and `hold` decide whether a model of a trained network is in a file. Imports `coding` and
`recording`.
"""
