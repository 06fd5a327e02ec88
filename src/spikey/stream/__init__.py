"""The streaming codec: packets out of frames as they come, and frames out of packets, however many are lost."""
