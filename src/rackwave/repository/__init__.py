"""The bundle repository (116): current bundles, archive, store and trust."""
