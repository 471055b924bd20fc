"""First-party plugins; on disk `plugins/`, imported as `harness_plugins`."""
