"""What happens to a person's files: stages, and the recipes that call them in order."""

__version__ = "0.1.0"
