"""The sample-by-sample loop: predict, code one symbol, update."""
