"""Reports of a comparison: results.jsonl, report.md and report.html."""
