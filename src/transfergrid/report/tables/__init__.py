"""Tables whatever they are about: their columns, and how they look in each format."""
