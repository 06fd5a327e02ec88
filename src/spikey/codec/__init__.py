"""One block: samples to a payload and back. `registry` lists methods and presets."""
