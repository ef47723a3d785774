"""Perplexity of text: which windows of it a model reads, what is scored in each, and the numbers that come of it."""
