"""The conversation memory: messages in, contexts out."""
