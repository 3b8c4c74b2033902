"""Networks other than pyramids, one file each; `network.registry` finds them by name."""
