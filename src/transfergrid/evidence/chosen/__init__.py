"""What choosing is worth: settings, sources by forecast, and rules without target labels."""
