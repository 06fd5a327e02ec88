"""Training of the learned predictors: the recordings, the networks, the optimiser."""
