"""lm-evaluation-harness from within: its names, its tasks loaded, the model in memory as it sees it, its results as metrics."""
