"""Text: tokenizers (BPE, WordPiece, Unigram) with their files, and features of text."""
