"""What a twin keeps: a journal that only grows, snapshots of what was known, forecasts as they were made, and scores."""
