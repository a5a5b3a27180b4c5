"""The conversation memory: keys, model, store, lexical search and the context."""
