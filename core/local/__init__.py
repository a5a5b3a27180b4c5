"""The embedded local endpoint: its process, its journal, its shortcuts.

`endpoint` starts, finds and stops the child process; `runner` is what that process runs. Inside
it, `emulator` is all that knows the package's inner parts, `store` keeps its state on disk with
`journal` and `frames`, `asgi` holds answers back until they are safe, and `key_conditions` makes
queries of long partitions quick.
"""
