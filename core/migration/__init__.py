"""Old tables into the optimized layout, under live traffic, with nothing lost; and the way back."""
