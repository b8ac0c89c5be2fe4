"""What notices that something happened."""
