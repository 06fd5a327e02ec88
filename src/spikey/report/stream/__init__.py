"""Latency and throughput of the streaming codec."""
