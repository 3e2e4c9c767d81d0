"""How a source's knowledge reaches the target: a folder a family. Imports what precedes it."""
