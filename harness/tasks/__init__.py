"""Tasks: data, prompts, metrics and their protocols. One file per benchmark."""
