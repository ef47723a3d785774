"""Tasks answered with a text: prompts in tokens, texts that a language model goes on with, and scores of texts."""
