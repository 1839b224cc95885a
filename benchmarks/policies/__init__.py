"""Campaigns without training: ideas and noise are drawn, policies decide, and the truth is known."""
