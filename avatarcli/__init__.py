"""The words the user types: parse, call one recipe, show its report."""
