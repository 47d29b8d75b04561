"""What texts are found by besides their meaning: words in all their forms, identifiers, numbers, dates."""
