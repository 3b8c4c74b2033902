"""Bytes, parameters and operations of an artifact."""
