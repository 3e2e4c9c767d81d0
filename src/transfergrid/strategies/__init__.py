"""One file per strategy; `base.py` holds what they share."""
