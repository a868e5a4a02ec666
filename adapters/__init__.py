"""Models and data from outside."""
