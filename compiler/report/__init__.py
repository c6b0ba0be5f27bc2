"""What is said of circuits in words and tables: counts, formulas, what two circuits differ in."""
