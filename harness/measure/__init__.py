"""Measurement: HOW memory, time and energy are taken, phase by phase."""
