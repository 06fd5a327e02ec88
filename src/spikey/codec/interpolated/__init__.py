"""Recordings whose frames of one phase were sampled and the others computed from these by a fixed filter."""
