"""Which layers suffer from 8 bits, and the recipe that keeps the fewest in float."""
