"""Results in the forms of other tools: written from a run, or read as published numbers."""
