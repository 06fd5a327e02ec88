"""Recordings that are made smaller than losslessly they could be, and say so to every reader."""
