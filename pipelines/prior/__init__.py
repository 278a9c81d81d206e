"""Base generators: published networks read without running them."""
