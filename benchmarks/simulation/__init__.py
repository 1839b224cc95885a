"""A night of research in minutes: client and bench are real, the model is a script, training takes a second."""
