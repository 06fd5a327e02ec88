"""Vendors' file formats: which bytes of their files are samples. No other package is needed to read them."""
