"""Networks of any library behind one interface: blocks, cuts, embeddings."""
