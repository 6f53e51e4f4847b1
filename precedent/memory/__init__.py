"""What is known: features of entities as of a moment, and the encoder that finds similar cases. Read, never authority."""
