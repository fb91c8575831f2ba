"""The paper's tables and figures: which jobs make them, and what is written once the jobs are done."""
