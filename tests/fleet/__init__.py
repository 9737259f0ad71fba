"""One host of each platform with the reference application on it, described as one inventory: what Molecule runs on."""
