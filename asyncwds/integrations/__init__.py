"""Parts for other people's training loops."""
