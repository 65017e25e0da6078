"""Shares, differences, means and regressions over model labels, corrected by a gold sample."""
