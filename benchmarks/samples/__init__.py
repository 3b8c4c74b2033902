"""Paired sample pictures with their licences; the default data of `deblur-bench`."""
