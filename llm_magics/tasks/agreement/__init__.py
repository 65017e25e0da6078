"""Agreement of several columns of labels: percent, kappa, alpha and AC1 with intervals."""
