"""How the evidence is shown."""
