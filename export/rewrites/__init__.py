"""Exact rewrites of the decoder, and tuning: which of them are fastest."""
