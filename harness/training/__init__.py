"""Networks that are trained here: surrogates, stand-ins of stages, students, and the recipes of our own models."""
