"""What the services and the library agree on: messages, subjects, topic rules, sealing, planning."""
