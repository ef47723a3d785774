"""A comparison as text: for a person's job summary, for CI's test viewers, for programs, for GitHub's annotations."""
