"""Whether what stands in the tables agrees with itself, and putting right what does not."""
