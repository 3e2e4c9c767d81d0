"""Why a cell lost: what it noted of its model, weighed into causes."""
