"""What commands show: benchmarks, budgets, calibration, topology, telemetry, and their plots."""
