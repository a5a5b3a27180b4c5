"""Conversations from files into the memory: JSON lines, LoCoMo, ChatGPT exports."""
