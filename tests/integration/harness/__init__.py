"""What tests stand on: a stack of their own, a client for it, and a census of what the machine holds of it."""
