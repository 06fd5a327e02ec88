"""Maintainers' scripts: fits, counts, tables and figures of the documents. Not in the wheel."""
