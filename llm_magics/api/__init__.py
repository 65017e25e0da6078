"""The wiring: a frame and a wish become a plan, a run, a frame."""
