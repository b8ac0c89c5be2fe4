"""What to do with an input: task files, their prompts, and one run of one of them."""
