"""Many training runs. Sits on top of pipeline/, which knows nothing of it."""
