"""Numbers that others can publish, check and lower."""
