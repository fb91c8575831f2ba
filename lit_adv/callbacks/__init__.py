"""What happens beside the steps of a run: writing, progress, tracking, reports, being stopped."""
