"""What outcomes teach: rewards, counters by variant, and statistics that say what they can't say."""
