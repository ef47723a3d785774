"""Records: the result of one cell, one JSON file, written once. The waist between running and reading."""
