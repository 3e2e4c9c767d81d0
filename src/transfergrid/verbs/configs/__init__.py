"""From typed words and Hydra configs to options in plain values."""
