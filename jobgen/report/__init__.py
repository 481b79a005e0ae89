"""What runs left, read back: one result or several, as a page or as a picture."""
