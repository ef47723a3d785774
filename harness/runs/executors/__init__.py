"""Executors: what carries a plan's cells out. One file per executor."""
