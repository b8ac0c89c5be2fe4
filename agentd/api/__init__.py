"""The daemon's interface: JSON over HTTP on a Unix socket that only its own user can open."""
