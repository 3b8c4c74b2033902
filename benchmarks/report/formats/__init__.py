"""Forms that a result is written in, one file each; `report.registry` finds them."""
