"""Pictures for people: `python -m scripts.figure NAME ...`."""
