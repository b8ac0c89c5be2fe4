"""Follow logs, reduce them to patterns, and tell what is remarkable about them."""
