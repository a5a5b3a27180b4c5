"""Builds what is shipped: the binary, its list of contents, the Debian package."""
