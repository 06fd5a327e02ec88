"""Telemetry, which is lossy: threshold crossings, waveforms, spike-band power and an LFP band within a bit budget.

Separate from everything lossless: nothing in here is used unless a telemetry command or class is called, and its files
are marked as lossy for every reader.
"""
