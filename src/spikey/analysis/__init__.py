"""Tools around the codec: simulated recordings, pictures, benchmarks, the power budget.

Modules here may import anything of the package; nothing outside `analysis` and `cli` imports them.
Import what is needed from its own module, for example `from spikey.analysis.simulate import simulate`.
"""
