"""Tables, HTML, W&B pages. Imports records and evidence."""
