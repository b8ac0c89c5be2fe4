"""What a user could have wrong, looked at without changing anything, and what to type for each."""
