"""Spikey where data already live: stores, file formats, vendors' folders, clusters.

One rule for all: `from spikey.integrations.NAME import ...`, where NAME is the package or format that it is for:
`numcodecs`, `zarr`, `hdf5`, `dask`, `spikeinterface`, `vendors`, `telemetry`, `nwb`. Each of these modules has an
`__all__`, needs its package installed (an extra of that name), and is imported only by who asks for it, as the
command line does; other modules are internal. `chunk` has the bytes that the codecs share and needs NumPy alone.
"""
