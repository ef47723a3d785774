"""Suites: WHAT to run. From YAML to a plan of cells; never imports torch."""
