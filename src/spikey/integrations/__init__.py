"""Spikey where data already live: codecs for numcodecs and Zarr 3, an HDF5 filter, SpikeInterface, vendors' formats.

Each module needs its package installed (an extra of the same name) and is imported only by who asks for it, the command
line among them; nothing below imports from here. `chunk` holds the bytes that the codecs share and needs nothing but
NumPy.
"""
