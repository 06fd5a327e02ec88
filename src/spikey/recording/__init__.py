"""Reads and writes recordings: a file is sample data with some bytes before it (head) and some after it (tail).

`spikey.recording.wav` opens WAV files, `spikey.recording.raw` opens headerless ones, and `spikey.recording.source`
holds what they share: `Layout`, `Source`, `Sink`, `pack`, `unpack` and `NotPCM`.
Import from those modules by name; this package itself imports nothing, so that the command line starts fast.
"""
