"""Predictors give the location of the next sample, a density its uncertainty, both in integers.

Everything here is part of the format: a change of one rounding changes the bytes.
"""
