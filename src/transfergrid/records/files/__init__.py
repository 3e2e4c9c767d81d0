"""Files, others' and our own: read safely, told apart by what they hold, whole or not at all."""
