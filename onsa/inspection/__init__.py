"""What is in data files: one small module for each finding, all fed by one pass over the rows.

A finding has `look(record)`, which is called for each row in order and keeps hashes and counts,
never texts (but a few excerpts), and `facts()`, which is JSON.
"""
