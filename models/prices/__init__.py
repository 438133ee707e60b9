"""What the prices of a panel say about themselves: how reliable they are, and which are deals."""
