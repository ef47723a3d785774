"""Word problems in mathematics: how they are asked, the solutions trained on, and the final answers compared."""
