"""Training of base generators."""
