"""Schemes: how weights are stored. One file per family of schemes."""
