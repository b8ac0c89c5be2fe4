"""Files become text with places, so that whatever is quoted can be pointed at."""
