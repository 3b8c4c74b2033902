"""The command ``deblur-data``: data sets made from what you have, a sub-command each."""
