"""ncnn for 64-bit Arm, run by QEMU on this machine: `make test-arm`."""
