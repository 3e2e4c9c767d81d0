"""Transfer over labels and over steps: what a source gives, and from where on no longer."""
