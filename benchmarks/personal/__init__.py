"""What personal offers earn, by the quote log and by the truth of a simulated market."""
