"""`ccbe demo`: the main job on sample documents, through real HTTP."""
