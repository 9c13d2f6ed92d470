"""What the watch finds where something happened, and what it says where nothing did; figures for docs/detection.md."""
