"""One worker process per measured artifact."""
