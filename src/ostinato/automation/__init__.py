"""What happens by itself: schedules, sensors, backfills."""
