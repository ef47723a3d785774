"""Instruction tuning: dialogues in the shapes that files have them in, templates that make texts of them, rows to train on."""
