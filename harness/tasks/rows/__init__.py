"""Rows of a data set's split, from the hub, a local folder or the micro data, in the columns that a task declared."""
