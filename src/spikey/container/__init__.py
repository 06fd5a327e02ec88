"""The `.spky` file: header, blocks, index, check sums. `docs/format.md` is its specification.

`layout` holds the structures, `writer` and `reader` are a pair. Imports `coding` and `recording`.
"""
