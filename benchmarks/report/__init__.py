"""Tables, JSON, Markdown and pictures from measured rows."""
