"""From symbols to bytes and back: the coders, and the one loop that runs predictor, density and coder in lockstep.

Imports `model` and `kernels`; knows nothing of files or containers.
"""
