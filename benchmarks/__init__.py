"""Measures artifacts: size, arithmetic, latency, memory, and what the conversion cost in dB."""
