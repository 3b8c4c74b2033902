"""Writing clips: codecs, segments on disk, joining them, and who takes the frames."""
