"""Opens exported artifacts and runs them on pictures: numpy plus one lazily imported SDK each."""
