"""Models: where they come from, what kind they are, and how they are loaded."""
