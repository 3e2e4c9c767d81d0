"""Images as files, archives and tables hold them, brought to uint8 arrays."""
