"""The generic format: dialogues and a catalogue as JSON lines, so that data comes in without code (docs/data-format.md)."""
