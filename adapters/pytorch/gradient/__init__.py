"""Modules whose forward stops a gradient: what stops it, and differentiable stand-ins that are put in its place."""
