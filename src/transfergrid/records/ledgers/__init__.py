"""The ledger on disk: cells, claims and index in one folder that many write; its upkeep."""
