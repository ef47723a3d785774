"""Analysis: from records to numbers. Reads records and the suite, nothing else."""
