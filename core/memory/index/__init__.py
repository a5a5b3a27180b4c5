"""The index of a user's messages: packed runs in the table, a warm copy in the process."""
