"""Reports: from numbers to markdown, CSV and plots. One file per format."""
