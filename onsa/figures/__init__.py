"""The figures of a run, a comparison, an evaluation as JSON values: all that a report knows."""
