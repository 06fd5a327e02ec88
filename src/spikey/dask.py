"""Compressing on a Dask cluster: see `spikey.integrations.dask`, whose names these are."""

from spikey.integrations.dask import ClusterError, compress, compress_files, connect
from spikey.integrations.dask_zarr import to_zarr

__all__ = ["ClusterError", "compress", "compress_files", "connect", "to_zarr"]
