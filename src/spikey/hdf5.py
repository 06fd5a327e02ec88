"""`import spikey.hdf5` makes the HDF5 filter known to h5py: see `spikey.integrations.hdf5`."""

from spikey.integrations.hdf5 import FILTER_ID, Filter, last_error, register

__all__ = ["FILTER_ID", "Filter", "last_error", "register"]
