"""Spikey where data already live: codecs for numcodecs and Zarr 3, and an HDF5 filter.

Each module needs its package installed (an extra of the same name) and is imported only by who asks for it; nothing
below imports from here. `chunk` holds the bytes that all of them share and needs nothing but NumPy.
"""
