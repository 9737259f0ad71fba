# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set flags in many workloads: read, decide, declare, roll where needed, and read every instance again."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.booleans import BooleanWords
from ..core.deadline import Deadline, wait_until
from ..core.errors import CommandFailed, DeadlinePassed, RollbackError, VerificationFailed
from ..core.evidence import utc_now
from ..core.parallel import for_each, of_each
from ..core.result import Timings, result
from ..platforms.base import Carrier, Change, Platform
from . import flag_plan
from .common import (
    Reading,
    as_instances,
    as_state,
    joined,
    make_platforms,
    read_all,
    require_identity,
    take_words,
    unlisted,
)
from .fence import one_at_a_time, require_lock

#: seconds for instances to hold the values after a roll has ended
PROVE = 5.0
#: seconds to wait for as many instances as before; an application may come back with fewer
SETTLE = 3.0
#: seconds that taking a change back may take, also when the deadline has passed
UNDO = 60.0


def set_flags(params: Mapping[str, Any], *, check: bool = False) -> dict[str, Any]:
    """Make every workload declare, and every instance hold, the given flags; return before, after and timings.

    ``params`` are the options of the module ``flag``. All input is validated and read before anything is changed. With
    ``check`` nothing is changed and the plan is returned. Raises InvalidInput and Refused (nothing was changed),
    CommandFailed (a workload did not start; its change was taken back unless on_failure is "keep"), DeadlinePassed,
    and VerificationFailed (an instance holds another value, or nothing alive could prove it).
    """
    timings = Timings()
    deadline = Deadline(params["timeout"])
    words = take_words(params.get("boolean_words"))
    wanted = flag_plan.take_flags(params["flags"], params["known_flags"])
    allowed = flag_plan.take_combinations(params.get("allowed_combinations") or [], params["known_flags"])
    platforms = make_platforms(params["workloads"], words)
    change = FlagChange(platforms, wanted, words, deadline, timings, undo=params.get("on_failure", "undo") == "undo")
    change.strict = params.get("on_unlisted", "warn") == "fail"
    require_lock(params)
    with contextlib.ExitStack() as held:
        if not check:
            with timings.phase("wait"):
                touched = set().union(*of_each(platforms, lambda name: platforms[name].touches()).values())
                held.enter_context(one_at_a_time(touched, deadline))
        change.read(params["known_flags"])
        require_identity(platforms, params.get("identity") or {})
        flag_plan.require_allowed(change.before, wanted, allowed, words)
        change.decide()
        if check:
            return change.predicted()
        require_lock(params)
        return change.run()


class FlagChange:
    """One change of flags in many workloads, in the order read, decide, run."""

    def __init__(
        self,
        platforms: Mapping[str, Platform],
        wanted: Mapping[str, bool],
        words: BooleanWords,
        deadline: Deadline,
        timings: Timings,
        *,
        undo: bool,
    ) -> None:
        self.platforms = platforms
        self.wanted = dict(wanted)
        self.raw = {flag: words.write(value) for flag, value in wanted.items()}
        self.words = words
        self.deadline = deadline
        self.timings = timings
        self.undo = undo
        self.known: list[str] = []
        self.before: dict[str, Reading] = {}
        self.after: dict[str, Reading] = {}
        self.decisions: dict[str, flag_plan.Decision] = {}
        self.plans: dict[str, list[Change]] = {}
        self.made: list[tuple[str, Change]] = []
        self.rolled: dict[str, str] = {}
        self.errors: dict[str, RollbackError] = {}
        self.roll_started: str | None = None
        self.roll_ended: str | None = None
        self.undone = False
        self.strict = False
        self.unlisted: list[Carrier] = []

    def read(self, known: Sequence[str]) -> None:
        """Read all known flags of all workloads; raises when one can't be read."""
        self.known = list(known)
        with self.timings.phase("read"):
            self.before, errors = read_all(self.platforms, self.known)
        if errors:
            raise joined(errors)

    def decide(self) -> None:
        """Work out what each workload needs, and the edits it takes; raises when an edit can't be made."""
        for name, reading in self.before.items():
            self.decisions[name] = flag_plan.decide(reading, self.wanted, self.words)
        self.plans, errors = for_each(
            list(self.platforms), lambda name: self.platforms[name].plan(self.decisions[name].declare)
        )
        if errors:
            raise joined(errors)

    def predicted(self) -> dict[str, Any]:
        """Return what ``run`` would do."""
        self._look_for_unlisted()
        needed = {name: one for name, one in self.decisions.items() if one.declare or one.roll}
        reasons = [f"{name}: {reason}" for name, one in needed.items() for reason in one.reasons]
        told = "; ".join(reasons[:4]) + (f"; and {len(reasons) - 4} more" if len(reasons) > 4 else "")
        return result(
            changed=bool(needed),
            summary=f"would change {', '.join(needed)}: {told}" if needed else self._summary(changed=False),
            before=as_state(self.before),
            diff=flag_plan.diff_of([change for changes in self.plans.values() for change in changes]),
            timings=self.timings,
            flags=dict(self.wanted),
            unlisted=[{"name": one.name, "holds": dict(one.holds)} for one in self.unlisted],
            notes=self.notes(),
            instances=as_instances(self.before),
            plan={
                name: {"declare": dict(one.declare), "roll": one.roll, "reasons": list(one.reasons)}
                for name, one in self.decisions.items()
            },
        )

    def run(self) -> dict[str, Any]:
        """Declare, roll, prove; take back what does not start; return the result or raise with it as evidence."""
        with self.timings.phase("declare"):
            self._declare()
        rolling = [name for name, one in self.decisions.items() if one.roll and name not in self.errors]
        if rolling:
            self.roll_started = utc_now()
            with self.timings.phase("roll"):
                self._roll(rolling)
            self.roll_ended = utc_now()
        if self.made or rolling:
            with self.timings.phase("prove"):
                self._prove()
        else:
            self.after = self.before
        self._forget_interruptions()
        self._take_back_what_did_not_start()
        self._tell_of_stopped()
        self._look_for_unlisted()
        if self.strict and self._unlisted_notes() and not self.errors:
            self.errors["unlisted"] = VerificationFailed(
                self._unlisted_notes()[0], hint="List it in the inventory, or end it and run the same command again."
            )
        evidence = self._outcome()
        if self.errors:
            del evidence["changed"], evidence["summary"]
            raise joined(self.errors, {**evidence, "changed": bool(self.made or self.rolled)})
        return evidence

    def _declare(self) -> None:
        todo = {name: one.declare for name, one in self.decisions.items() if one.declare}
        beside = [name for name in todo if self.platforms[name].declares_beside_others]
        made, errors = for_each(beside, lambda name: self.platforms[name].declare(todo[name]))
        for name in (one for one in todo if one not in beside):
            try:
                made[name] = self.platforms[name].declare(todo[name])
            except RollbackError as error:
                errors[name] = error
        self.made = [(name, change) for name, changes in made.items() for change in changes]
        self.errors.update(errors)

    def _roll(self, names: Sequence[str]) -> None:
        rolled, errors = for_each(names, lambda name: self.platforms[name].roll(self.deadline, self.raw))
        self.rolled.update(rolled)
        self.errors.update(errors)

    def _prove(self) -> None:
        """Read every instance until all hold the values; an error of a workload says who does not."""
        waited_for = {
            name: platform
            for name, platform in self.platforms.items()
            if name not in self.errors and not self.decisions[name].stopped
        }
        settle = Deadline(SETTLE)
        lacking: dict[str, RollbackError] = {}

        def proven() -> bool:
            lacking.clear()
            readings, errors = read_all(self.platforms, self.known)
            self.after.update(readings)
            for name in waited_for:
                error = self._gone(name, errors[name]) if name in errors else self._lacking(name, readings[name])
                if error:
                    lacking[name] = error
            fewer = any(
                len(readings[name].instances) < len(self.before[name].instances)
                for name in waited_for
                if name in readings
            )
            return not lacking and (settle.passed() or not fewer)

        with contextlib.suppress(DeadlinePassed):
            wait_until(proven, Deadline(min(PROVE, max(self.deadline.left(), 1.0))), what="the evidence")
        self.errors.update(lacking)

    def _gone(self, name: str, reason: RollbackError | str) -> RollbackError:
        """Return the error for a workload that has no instance; after a roll it is one that did not start."""
        kind = CommandFailed if name in self.rolled else VerificationFailed
        return kind(f"nothing alive could prove the flags: {reason}", where=f"workload '{name}'")

    def _lacking(self, name: str, reading: Reading) -> RollbackError | None:
        if not reading.instances:
            return self._gone(name, "no instance runs any more")
        others = reading.others(self.wanted, self.words)
        back = self._set_back(name, reading)
        if back or not others:
            return back
        told = [f"{one.name} still holds {flag}={'(missing)' if raw is None else raw}" for one, flag, raw in others]
        more = f" and {len(told) - 5} more" if len(told) > 5 else ""
        count = len({one.id for one, *dummy in others})
        return VerificationFailed(
            f"{count} of {len(reading.instances)} instances: {'; '.join(told[:5])}{more}",
            where=f"workload '{name}'",
            hint="The flags stay declared; restart the workload, or end these instances.",
        )

    def _set_back(self, name: str, reading: Reading) -> RollbackError | None:
        """Return the error for a value that somebody else has declared again since we wrote ours."""
        for flag, value in self.wanted.items():
            declared = reading.declared[flag]
            if self.words.read(declared.value) is not value:
                return VerificationFailed(
                    f"{flag} was set back by somebody else: {declared.source} declares {declared.value} again",
                    where=f"workload '{name}'",
                    hint="Stop what brings the old value back (a deployment, GitOps), then run the same command again.",
                )
        return None

    def _forget_interruptions(self) -> None:
        for name, reading in self.before.items():
            if reading.interrupted and name not in self.errors and name in self.after and self.after[name].instances:
                self.platforms[name].resumed()

    def _take_back_what_did_not_start(self) -> None:
        failed = [name for name, error in self.errors.items() if isinstance(error, CommandFailed)]
        failed = [name for name in failed if self.decisions[name].roll and self.plans[name]]
        if not failed or not self.undo:
            return
        with self.timings.phase("undo"):
            places, names = flag_plan.to_take_back(failed, self.plans)
            told = self._take_back(places, sorted(names))
        for name in failed:
            error = self.errors[name]
            self.errors[name] = CommandFailed(
                f"{error.what}; {told}", where=error.where, hint=error.hint, evidence=error.evidence
            )

    def _take_back(self, places: set[str], names: Sequence[str]) -> str:
        """Take back the edits in these places, roll these workloads to their old values, and say how that ended."""
        try:
            for name, change in reversed(self.made):
                if change.where in places:
                    self.platforms[name].undeclare([change])
        except RollbackError as error:
            return f"taking the change back failed too: {error}"
        rolling = [name for name in names if self.decisions[name].roll]
        deadline = Deadline(max(self.deadline.left(), UNDO))
        dummy, errors = for_each(rolling, lambda name: self.platforms[name].roll(deadline, self._old(name)))
        self.after, unread = read_all(self.platforms, self.known)
        errors.update(unread)
        for name in rolling:
            if name in self.after and not self.after[name].instances:
                errors.setdefault(name, CommandFailed("no instance runs"))
        if errors:
            return f"the change was taken back, but then {joined(errors)}"
        self.undone = True
        for name in rolling:
            self.rolled.pop(name, None)
        old = ", ".join(sorted({f"{flag}={raw}" for name in rolling for flag, raw in self._old(name).items()}))
        return f"the change was taken back, {', '.join(rolling)} run{'s' if len(rolling) == 1 else ''} with {old} again"

    def _old(self, name: str) -> dict[str, str]:
        declared = self.before[name].declared
        return {flag: raw for flag in self.wanted if (raw := declared[flag].value) is not None}

    def _look_for_unlisted(self) -> None:
        with self.timings.phase("discover"):
            self.unlisted = unlisted(self.platforms, self.known)

    def notes(self) -> list[str]:
        """Return what an operator should know beside the result: what the platforms say, and what no workload lists."""
        told = [note for platform in self.platforms.values() for note in platform.notes()]
        return [*dict.fromkeys(told), *self._unlisted_notes()]

    def _unlisted_notes(self) -> list[str]:
        """Return a sentence when something that no workload lists holds another value than is wanted."""
        others = [
            (one.name, flag, one.holds[flag])
            for one in self.unlisted
            for flag, value in self.wanted.items()
            if flag in one.holds and self.words.read(one.holds[flag]) is not value
        ]
        if not others:
            return []
        told = "; ".join(f"{name} holds {flag}={raw}" for name, flag, raw in others[:5])
        more = f"; and {len(others) - 5} more" if len(others) > 5 else ""
        return [f"the inventory lists no workload for what still holds another value: {told}{more}"]

    def _tell_of_stopped(self) -> None:
        for name, decision in self.decisions.items():
            running = name in self.after and self.after[name].instances
            if decision.stopped and not running and not self.platforms[name].may_be_stopped:
                self.errors.setdefault(
                    name,
                    VerificationFailed(
                        "it does not run: the flags are declared, but nothing alive could prove them",
                        where=f"workload '{name}'",
                        hint="Start it, or say may_be_stopped: true if it is stopped on purpose.",
                    ),
                )

    def _outcome(self) -> dict[str, Any]:
        changed = bool(self.made or self.rolled)
        return result(
            changed=changed,
            summary=self._summary(changed=changed),
            before=as_state(self.before),
            after=as_state(self.after),
            diff=flag_plan.diff_of([change for dummy, change in self.made]),
            timings=self.timings,
            flags=dict(self.wanted),
            unlisted=[{"name": one.name, "holds": dict(one.holds)} for one in self.unlisted],
            notes=self.notes(),
            instances=as_instances(self.after),
            rolled=dict(self.rolled),
            roll_started=self.roll_started,
            roll_ended=self.roll_ended,
            undone=self.undone,
        )

    def _summary(self, *, changed: bool) -> str:
        ways = sorted(set(self.rolled.values()))
        spent = self.timings.as_dict().get("roll", 0.0)
        how = f"{', '.join(ways)} {spent:.1f} s" if ways else ""
        return flag_plan.summary(self.wanted, self.after or self.before, self.words, how, changed=changed)
