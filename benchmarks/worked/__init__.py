"""The manual's worked examples: what each tells, the session that plays it, the page that comes of it."""
