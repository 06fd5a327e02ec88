"""Lossy telemetry: events, waveforms, spike-band power and a low band of many channels, within a budget of bits.

A mode of its own, apart from everything lossless: nothing in here is used unless a telemetry command or class is
called. It may import `recording`, `model`, `coding` and `stream`; only `analysis`, `integrations` and `cli` import it.
"""
