"""Optimisers and learning-rate schedules of the stage-2 space (Table 4), by name."""
