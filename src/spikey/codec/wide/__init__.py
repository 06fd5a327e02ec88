"""The wide engine: a channel's frames folded into lanes that run in lockstep, weights fitted and stored per block."""
