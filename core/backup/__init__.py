"""Backups: taken, verified, restored and pruned, in DynamoDB's own export format."""
