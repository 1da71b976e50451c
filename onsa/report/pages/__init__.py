"""Pages: each from one JSON value, in one frame."""
