"""The pipeline as doit tasks; the table of stages is in `distill.stages`, the tasks are made in `distill.build.tasks`."""

from distill.build.tasks import DOIT_CONFIG, task_pipeline

__all__ = ["DOIT_CONFIG", "task_pipeline"]
