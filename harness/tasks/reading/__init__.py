"""Reading comprehension: questions over long texts in windows, spans chosen from a head's outputs, answers compared."""
