"""Tasks: pure, a file each; see ``base`` for what makes one."""
