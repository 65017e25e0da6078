"""The frontend that the explorer, the review and the results share: a style sheet, ES modules, a panel."""
