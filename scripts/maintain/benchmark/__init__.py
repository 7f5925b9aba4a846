"""Measurements of speed and quality: `python -m scripts.maintain.benchmark NAME ...`."""
