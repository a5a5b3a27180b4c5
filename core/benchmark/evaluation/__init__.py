"""What the memory finds on conversations whose answers are known, and what finding it costs."""
