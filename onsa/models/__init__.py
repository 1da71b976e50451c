"""Models as Hugging Face folders: found, checked, loaded, given heads, saved."""
