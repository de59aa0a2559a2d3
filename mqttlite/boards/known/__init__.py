"""What is known of boards (hardware/): data of each kind, kinds as chips tell them, partition tables."""
