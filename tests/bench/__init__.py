"""How long it takes to switch a flag off: this collection beside the runbook's commands and the platform's limit."""
