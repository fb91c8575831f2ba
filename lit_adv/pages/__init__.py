"""Pages to look at: results and progress as HTML files that stand alone and ask the network for nothing."""
