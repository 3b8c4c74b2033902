"""Narrower networks: channel groups, their importance, and exact slicing of the weights."""
