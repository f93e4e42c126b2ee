"""Sinks for the result of a run, one file each."""
