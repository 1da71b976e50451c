"""Training: one of them (`train`), the loop (`trainer`), and what is made of it."""
