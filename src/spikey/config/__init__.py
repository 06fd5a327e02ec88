"""Configuration files: their keys (`schema`), and how documents are read and merged (`documents`)."""
