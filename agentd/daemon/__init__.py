"""The daemon: it binds the rooms together and keeps them running."""
