"""Files that do not restore the original by themselves: near-lossless, and hybrid with its correction."""
