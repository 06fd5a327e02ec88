"""How a block is coded: the values that a preset, a configuration or a model chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spikey.base.limits import allowed

if TYPE_CHECKING:
    from spikey.model.trained import Model

STORED, PACKED, COPIED = 0, 5, 15  # first bytes of payloads: samples as they are, packed, of another recording
LARGEST = 3 << 22  # samples in a block: a second of 384 channels at 30 kHz
USUAL_CHANNELS = 16  # of a full block
FEW_CHANNELS = 4  # of a block, up to which predictors for few channels are used
LONGEST = 1 << 16  # frames of a full block of several channels
MOST_REFERENCES = 4  # channels that one channel is predicted from
MOST_COMPANIONS = 4  # channels of other recordings
MOST_TOGETHER = 256  # channels side by side with a trained network
SAMPLES_TOGETHER = 1 << 25  # of them, the shorter ones filled up
MOST_CHANNELS = 8192  # of a block


@dataclass(frozen=True)
class Method:
    """Name of the predictor, whether differences are predicted, streams side by side.

    references: of a channel to others, at most; each channel's description contains its own. model: the trained network
    of the predictor "learned", which has no lanes and no references and determines whether differences are predicted.
    channels: of a full block; those of more than the usual number are about a second long. longest: frames of a full
    block of the usual number of channels, and half of those of one; with a network no block has more samples than so
    many frames of them do.
    """

    predictor: str = "lpc"
    delta: bool = True
    lanes: int = 2
    references: int = 0
    model: Model | None = None
    longest: int = LONGEST
    channels: int = USUAL_CHANNELS


LPC = Method("lpc", lanes=2)  # what `predictor: type: lpc` selects, and what the C reference and packets use


def learned(model: Model) -> Method:
    """The method of a trained network; blocks are as long as `spikey.base.limits` allow for it."""
    longest = max(min(allowed.work // model.architecture.weights // USUAL_CHANNELS, LARGEST), 1)
    return Method("learned", model.architecture.delta, lanes=1, model=model, longest=longest, channels=MOST_CHANNELS)
