"""Exact rewrites of the decoder, and the choice among them by measurement."""
