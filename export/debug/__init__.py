"""Where drift is born: the layers of an artifact against those of the network it was made from."""
