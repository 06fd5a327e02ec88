"""Restores the samples of a lossy file: from its bins, and with its correction file the original's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikey.base.errors import DataError
from spikey.container.layout import Block, Header
from spikey.container.records import BINS, CORRECTION
from spikey.container.structure import unpack_record
from spikey.levels.quantised import Bins, read_bins

if TYPE_CHECKING:
    from spikey.container.reader import Reader


class Restoration:
    """The bins of a lossy file, and the reader of its correction file, where there is one."""

    def __init__(self, bins: Bins):
        self.bins = bins
        self.correction: Reader | None = None

    def restore(self, samples: np.ndarray, block: Block) -> np.ndarray:
        """The recording's samples (frames, channels) of what a block contains: middles of bins, or the original's."""
        samples = self.bins.values(samples, block.first_frame, block.first_channel)
        if self.correction is None:
            return samples
        beside = range(block.first_channel, block.extent[3])
        rests = self.correction.read(block.first_frame, block.frames, beside)
        return self.bins.corrected(samples, rests, block.first_frame, block.first_channel)


def corrected_digest(header: Header) -> bytes:
    """The beginning of the SHA-256 of the lossy file that a file corrects; empty where it is no correction."""
    return header.record(CORRECTION) or b""


def restoration_of(header: Header, name: str, lossy: bool, correction: bool) -> Restoration | None:
    """How the samples of a file are restored; None of a lossless one.

    Raises DataError for a lossy file, or one that corrects such a file, unless `lossy` or `correction` accepts it: what
    they contain is not the original.
    """
    if corrected_digest(header) and not correction:
        raise DataError(
            f"{name}: corrects a lossy file and is not a recording; use it with: spikey telemetry restore",
            code="lossy-file",
        )
    record = unpack_record(header, BINS, name)
    if record is None:
        return None
    bins = read_bins(record, header.layout, name)
    if not lossy:
        raise DataError(
            f"{name}: is a lossy recording ({bins.words()}), from which the original cannot be "
            "restored; spikey telemetry restore decodes it, in Python lossy=True",
            code="lossy-file",
        )
    return Restoration(bins)


def check_correction(reader: Reader, correction: Reader) -> None:
    """DataError where a file does not correct a reader's file."""
    if (
        reader.lossy is None
        or correction.corrects != reader.digest
        or (correction.shape, correction.dtype) != (reader.shape, reader.dtype)
    ):
        raise DataError(f"{correction.name}: is not the correction of {reader.name}; use the two files of one call")
