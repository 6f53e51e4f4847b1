"""Where a person comes in: the queue of what waits for an answer, and the messages that tell them."""
