"""Moving tables' items in bulk: scans, streams, writes, within budgets, and digests of them.

What backups and migrations share.
"""
