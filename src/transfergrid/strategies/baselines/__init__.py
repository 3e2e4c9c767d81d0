"""What transfer is compared with."""
