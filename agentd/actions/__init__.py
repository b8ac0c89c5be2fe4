"""What a result may do to the world: planned, confined, journalled, undoable."""
