"""What machines fetch from us."""
