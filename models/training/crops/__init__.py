"""Sources and loading of training crops."""
