"""What travels inside every export and runs there alone: it imports nothing of the project."""
