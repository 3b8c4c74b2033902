"""Estimates for phones that nobody measured: a roofline from published peak figures."""
