"""Schedules, callbacks, checkpoints and the loop that ties them together."""
