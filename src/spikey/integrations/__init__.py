"""Spikey inside other packages, one file each. Each file imports the package that it is for, and nothing imports these
files but the command line, when it needs one.
"""
