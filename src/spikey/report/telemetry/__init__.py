"""Fidelity of telemetry."""
