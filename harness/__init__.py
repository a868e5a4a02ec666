"""The core: threat models, attacks, gradients, evaluation. Imports none of adapters, suites, reports."""
