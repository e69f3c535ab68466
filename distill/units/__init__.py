"""Stages over units of work: line-aligned ranges of files, mapped, gathered by key and merged in the order of ids (DESIGN 3).

What a stage decides is in `distill.stages`; here is only how it is spread over units so that memory stays bounded, workers share
it, and what did not change is not computed again. The plain generators are the reference these are tested against.
"""
