"""Weights and what lies beside them: in files, in folders, at a hub. Nothing is unpickled."""
