"""Load on a running service, on this machine alone: how long answers take, and what is refused."""
