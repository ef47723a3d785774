"""Runs: WHERE cells are executed, each in a process of its own, and where their results are kept."""
