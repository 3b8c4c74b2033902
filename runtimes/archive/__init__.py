"""Archives: ``deblur-run --ray`` deblurs by many workers, on one machine or a cluster."""
