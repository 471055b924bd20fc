"""What people look at: tables of scores."""
