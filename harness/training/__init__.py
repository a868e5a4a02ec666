"""Networks that are trained here: surrogates for transfer, recipes of the embedded models."""
