"""Everything lossy: recordings with a guarantee, and events, waveforms, power and a low band within a bit budget.

Apart from all that is lossless: nothing in here is used unless a telemetry command or class is called, and its files
say so to every reader. It may import `recording`, `model`, `coding`, `container` and `stream`; only `analysis`,
`integrations` and `cli` import it.
"""
