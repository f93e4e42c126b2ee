"""Scenario files: schema, loader, workload generators."""
