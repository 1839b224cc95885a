"""A short window of an eighth of the context.

Source: autoresearch's mar8 log went from a half down to an eighth.
"""

EDITS = [("SMALL_SHORT_WINDOW", "8")]
