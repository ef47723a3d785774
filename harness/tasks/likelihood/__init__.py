"""How likely a language model finds token sequences: what it reads, and beginnings that are read once for many rows."""
