"""Deployment, apart from any endpoint."""
