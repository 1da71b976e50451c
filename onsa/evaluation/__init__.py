"""Scoring models on rows that were kept out: replies, choices, heads, losses, requests."""
