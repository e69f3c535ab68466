"""What people read: summary.md, the terminal, and the answers of `distill read`."""
