"""What all commands share: common options, error lines, exit codes, progress, JSON."""
