"""Counterparts of the kernel's own XArray tests, in our own words."""
