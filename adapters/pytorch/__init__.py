"""PyTorch modules in: the module behind the Classifier contract, its weights, surrogates for what stops a gradient."""
