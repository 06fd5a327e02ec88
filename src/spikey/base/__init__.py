"""What everything stands on: errors, numbers as bytes, compiled kernels, limits, interrupts, shipped files."""
