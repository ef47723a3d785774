"""Methods: how parameters are tuned. One file per family of methods."""
