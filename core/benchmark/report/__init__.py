"""A benchmark's result as a page and as a picture."""
