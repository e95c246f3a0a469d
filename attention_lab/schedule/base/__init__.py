"""Registry of learning-rate schedules, and code that several of them share."""
