"""Compression of given recordings by Spikey and by other codecs, measured in processes of their own."""
