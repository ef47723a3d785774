"""Benchmarks of labelled texts asked as a prompt: templates, verbalizers, and the likelihood of what they say."""
