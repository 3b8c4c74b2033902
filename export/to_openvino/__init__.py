"""OpenVINO targets."""
