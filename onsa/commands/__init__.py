"""What a user does: one module for each."""
