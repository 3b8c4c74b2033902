"""LiteRT: runs .tflite files on the CPU, and reads what they hold."""
