"""Raw images and texts to a network's inputs, as its library does it."""
