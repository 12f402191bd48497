"""Draw the pictures in results/, all in one style."""
