"""What a graph tells without being run."""
