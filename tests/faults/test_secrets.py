"""Secrets: on no screen, in no record, in no report, also when all is shown and something fails."""

from __future__ import annotations

from tests.faults.expect import failed, proved, shown


def test_a_failing_start_that_prints_its_environment_shows_no_secret(bench, lab, rollback, secrets):
    """The start script is told to print what it got, as a careless one does, and that tail is quoted in the error."""
    bench.refuses("web", 'set -a; . "$ENV_FILE"; env | grep -E "SECRET|TOKEN|PASSWORD"; echo "no start"; exit 3')
    log = lab.paths.log_dir / "start.log"
    log.unlink(missing_ok=True)
    ended = rollback("-vvvv", "--diff", variables=bench.workloads(web={"roll": ["restart"], "log_file": str(log)}))
    assert all(value in log.read_text() for value in secrets.values())
    failed(ended, lab, "the workload did not start", "no start", "the change was taken back", outcome="undone")
    assert shown(ended, secrets) == []


def test_a_start_that_names_a_secret_in_a_sentence_shows_none(bench, lab, rollback, secrets):
    bench.refuses("web", '. "$ENV_FILE"; echo "cannot log in as $DATABASE_USER with $DATABASE_PASSWORD today"; exit 3')
    log = lab.paths.log_dir / "start.log"
    ended = rollback(variables=bench.workloads(web={"roll": ["restart"], "log_file": str(log)}))
    failed(ended, lab, "the workload did not start", "cannot log in as deltacrown with", outcome="undone")
    assert shown(ended, secrets) == []


def test_a_rollback_that_works_shows_no_secret(lab, rollback, secrets):
    ended = rollback("-vvvv", "--diff")
    proved(ended, lab)
    assert shown(ended, secrets) == []
