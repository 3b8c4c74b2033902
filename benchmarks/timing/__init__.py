"""Latency, memory, interleaved rounds, and time per operator."""
