"""The C++ of docs/EDGE.md, compiled and run: `make test-cpp`."""
