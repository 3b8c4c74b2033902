"""Finding what registers itself: own modules by name, other distributions by entry point."""
