"""LiteRT: runs .tflite files on the CPU, and reads and edits them."""
