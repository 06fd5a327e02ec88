"""Groups of any number of channels, each coded sample by sample after those before it are complete."""
