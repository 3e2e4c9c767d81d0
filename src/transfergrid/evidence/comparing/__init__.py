"""What changed between two ledgers, or two looks at one, and why."""
