"""The embedded local endpoint: its process, its journal, its shortcuts."""
