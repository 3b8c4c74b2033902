"""``deblur-serve``: an HTTP service over one artifact; Ray Serve runs its replicas."""
