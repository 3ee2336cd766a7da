"""`make bench`: each figure beside its floor from the same run, as a ratio, with its spread."""
