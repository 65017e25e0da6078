"""Zero-shot and few-shot labels: task, plan, confidence, cascade, evaluation, review."""
