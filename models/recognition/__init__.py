"""Networks that tell persons apart."""
