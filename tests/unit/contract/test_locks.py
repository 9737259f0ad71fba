"""One run at a time: what every kind of lock promises, on a file and on a Lease of a real cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dualwrite.rollback.plugins.module_utils.core.errors import InvalidInput, Refused
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.fence import require_lock
from ansible_collections.dualwrite.rollback.plugins.module_utils.steps.run_lock import run_lock
from ansible_collections.dualwrite.rollback.tests.unit.contract.kubernetes_bench import KubernetesBench

ANN = {"run_id": "20261123T103000Z-rollback-0001", "owner": "ann", "controller": "ctl-1", "reason": "500s on create"}
BOB = {"run_id": "20261123T103100Z-rollback-0002", "owner": "bob", "controller": "ctl-2", "reason": "same"}

Call = Callable[..., "dict[str, Any]"]


@pytest.fixture(params=["file", "kubernetes"])
def lock_place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The options of run_lock that say where one lock is."""
    if request.param == "file":
        return {"path": str(tmp_path / "dw/staging.lock")}
    bench: KubernetesBench = request.getfixturevalue("kubernetes_bench")
    return {"lease": {"kubeconfig": str(bench.cluster.kubeconfig), "namespace": bench.namespace}}


@pytest.fixture
def lock(lock_place: dict[str, Any]) -> Call:
    def call(who: dict[str, str], check: bool = False, **more: Any) -> dict[str, Any]:
        return run_lock({"environment": "staging", **lock_place, **who, **more}, check=check)

    return call


def holder(lock: Call) -> dict[str, Any] | None:
    """Return who holds the lock, as giving back what one doesn't hold tells."""
    held: dict[str, Any] | None = lock({"run_id": "nobody's"}, state="absent")["held_by"]
    return held


def test_take_again_and_give_back(lock: Call) -> None:
    assert lock(ANN)["changed"] is True
    held = holder(lock)
    assert held is not None
    assert {name: held[name] for name in ANN} == ANN
    assert (held["environment"], held["since"].endswith("Z")) == ("staging", True)
    assert lock(ANN)["changed"] is False
    assert lock(ANN, state="absent")["changed"] is True
    again = lock(ANN, state="absent")
    assert (again["changed"], again["summary"], again["held_by"]) == (False, "no lock to give back", None)
    assert lock(BOB)["changed"] is True


def test_the_second_operator_is_told_who_why_since_when_and_how_to_take_over(lock: Call) -> None:
    lock(ANN)
    with pytest.raises(Refused) as caught:
        lock(BOB)
    sentence = str(caught.value)
    for words in ("ann from ctl-1", "500s on create", "s ago)", f"-e dualwrite_takeover={ANN['run_id']}"):
        assert words in sentence
    assert caught.value.evidence["held_by"]["owner"] == "ann"
    given = lock(BOB, state="absent")
    assert (given["changed"], given["summary"]) == (False, f"lock left alone: run {ANN['run_id']} of ann holds it")
    assert (holder(lock) or {})["owner"] == "ann"


@pytest.mark.parametrize("how", [{"takeover": ANN["run_id"]}, {"takeover_of": [ANN["run_id"]]}])
def test_taking_over_is_on_purpose_and_noted(lock: Call, how: dict[str, Any]) -> None:
    lock(ANN)
    with pytest.raises(Refused):
        lock(BOB, takeover="20200101T000000Z-rollback-ffff")
    taken = lock(BOB, **how)
    assert taken["taken_over"]["owner"] == "ann"
    assert f"taken over from {ANN['run_id']} of ann" in taken["summary"]
    assert (holder(lock) or {})["taken_over"]["run_id"] == ANN["run_id"]
    # the first run comes back to life: it no longer holds the lock and can't remove it
    with pytest.raises(Refused, match="run 20261123T103100Z-rollback-0002 of bob"):
        lock(ANN)
    assert lock(ANN, state="absent")["changed"] is False
    assert (holder(lock) or {})["owner"] == "bob"


def test_check_mode_only_reads(lock: Call) -> None:
    assert lock(ANN, check=True)["changed"] is True
    assert holder(lock) is None
    lock(ANN)
    with pytest.raises(Refused):
        lock(BOB, check=True)
    assert lock(BOB, check=True, takeover=ANN["run_id"])["changed"] is True
    assert lock(ANN, check=True, state="absent")["changed"] is True
    assert (holder(lock) or {})["owner"] == "ann"


def test_nothing_is_changed_under_the_lock_of_another_run(lock: Call) -> None:
    named = {name: value for name, value in lock(ANN).items() if name in ("lock_file", "lock_lease")}
    assert [value is None for value in named.values()].count(True) == 1
    require_lock({**named, "run_id": ANN["run_id"]})
    with pytest.raises(Refused, match=f"run {ANN['run_id']} of ann holds the lock, not run {BOB['run_id']}"):
        require_lock({**named, "run_id": BOB["run_id"]})
    with pytest.raises(InvalidInput, match=r"lock_(file|lease) needs run_id"):
        require_lock(named)
    lock(ANN, state="absent")
    require_lock({**named, "run_id": BOB["run_id"]})


def of_twenty_at_once(ask: Callable[[str], dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what those are told who get the lock, and the refusals of the others."""
    start, won, refused = threading.Barrier(20), list["dict[str, Any]"](), list[str]()

    def one_of_them(number: int) -> None:
        start.wait()
        try:
            won.append(ask(f"r{number}"))
        except Refused as error:
            refused.append(str(error))

    contenders = [threading.Thread(target=one_of_them, args=(number,)) for number in range(20)]
    for one in contenders:
        one.start()
    for one in contenders:
        one.join()
    return won, refused


def test_of_twenty_that_ask_at_once_exactly_one_wins(lock: Call) -> None:
    won, refused = of_twenty_at_once(lambda name: lock({"run_id": name, "owner": name}))
    assert (len(won), len(refused)) == (1, 19)
    assert all(f"run {(holder(lock) or {})['run_id']} of r" in one for one in refused)


def test_of_twenty_that_take_a_dead_run_over_exactly_one_wins(lock: Call) -> None:
    lock(ANN)
    won, refused = of_twenty_at_once(lambda name: lock({"run_id": name}, takeover_of=[ANN["run_id"]]))
    assert ([one["taken_over"]["owner"] for one in won], len(refused)) == (["ann"], 19)


# --- what only a Lease has -------------------------------------------------------------------------------------------


def test_what_is_no_lock_of_ours_is_left_alone_and_named(kubernetes_bench: KubernetesBench) -> None:
    bench = kubernetes_bench
    bench.create("leases", {"metadata": {"name": "dualwrite-staging"}, "spec": {}}, "coordination.k8s.io/v1")
    lease = {"kubeconfig": str(bench.cluster.kubeconfig), "namespace": bench.namespace}
    for more in ({}, {"state": "absent"}):
        with pytest.raises(InvalidInput, match=r"no lock that this .*kubectl delete lease dualwrite-staging -n shop"):
            run_lock({"environment": "staging", "lease": lease, **ANN, **more})
    path = f"/apis/coordination.k8s.io/v1/namespaces/{bench.namespace}/leases/dualwrite-staging"
    assert bench.call_api("GET", path)["spec"] == {}


def test_missing_rights_are_named_before_it_is_taken_and_the_role_of_the_page_is_enough(
    kubernetes_bench: KubernetesBench,
) -> None:
    bench = kubernetes_bench
    lease = {"kubeconfig": str(bench.cluster.kubeconfig_of("rollback")), "namespace": bench.namespace}
    bench.bind_role(without="delete")
    given = {"environment": "staging", "lease": lease}
    with pytest.raises(Refused, match=r": delete leases\.coordination\.k8s\.io; nothing was changed"):
        run_lock({**given, **ANN})
    bench.bind_role()
    assert run_lock({**given, **ANN})["changed"]
    assert run_lock({**given, **BOB, "takeover": ANN["run_id"]})["changed"]
    assert run_lock({**given, **BOB, "state": "absent"})["changed"]
