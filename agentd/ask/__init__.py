"""Questions over what was read: search, cite, check, answer."""
