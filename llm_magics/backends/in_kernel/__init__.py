"""What backends inside the kernel share: model cache, chat templates, truncation, label tries."""
