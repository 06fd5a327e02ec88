"""What comes next: predictors say where the next sample lies, a density says how sure they are, both in integers.

Everything here is part of the format: a change of one rounding changes the bytes.
"""
