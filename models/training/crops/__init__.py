"""Where training crops come from, and how they are loaded."""
