"""Files that do not restore the original alone: near-lossless, and hybrid with its correction."""
