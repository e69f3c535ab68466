"""`distill init` and `distill preview`: what a folder of logs holds, before anything is built (SPEC 8)."""
