"""Sending many events, decisions and outcomes in the order of business time; what `import` and `simulate` share."""
