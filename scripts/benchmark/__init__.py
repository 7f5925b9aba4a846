"""Measurements of speed and quality: `python -m scripts.benchmark NAME ...`."""
