"""Whole files: compress, decompress, verify, compare, batches and archives."""
