"""What a trial of a method looks at: weights bit by bit, a dozen training steps, generation."""
