"""The embedded researcher: the pack without a model, and the control arm that a real model must beat."""
