"""Two layers more.

Source: Kaplan and others 2020 (arXiv 2001.08361): the shape matters little, the size a lot.
"""

EDITS = [("SMALL_DEPTH", "4")]
