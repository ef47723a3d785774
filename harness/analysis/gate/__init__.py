"""The regression gate: a run against a baseline, what is worse beyond tolerance and noise, and why."""
