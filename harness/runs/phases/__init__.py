"""The life of a cell, one file per phase."""
