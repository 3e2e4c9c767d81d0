"""Few of the source's parameters learn, or few that are put beside them."""
