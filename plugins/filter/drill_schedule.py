# Copyright: the dualwrite.rollback contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dates of the four drills for AWX, systemd and cron."""

from __future__ import annotations

DOCUMENTATION = r"""
name: drill_schedule
short_description: The dates of the quarterly drills, for AWX, systemd and cron
version_added: 0.2.0
description:
  - Returns for each quarter the first such weekday of its first month, as a list of dicts with C(quarter), C(name),
    C(rrule) (what AWX takes), C(on_calendar) (systemd), C(cron) and C(cron_day).
  - Cron joins the day of the month and the day of the week by I(or), so that its command has to ask for the day itself.
author:
  - dualwrite.rollback contributors (@dualwrite)
options:
  _input:
    description: Where it differs from the default, C(day) (V(TU)), C(hour) (V(10)), C(minute) (V(0)), in UTC, and
      C(year) (V(2026)), that of the rule's DTSTART.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what AWX is to be given
  ansible.builtin.debug:
    msg: "{{ {'day': 'WE', 'hour': 9} | dualwrite.rollback.drill_schedule | map(attribute='rrule') }}"
"""

RETURN = r"""
_value:
  description: A dict per quarter.
  type: list
  elements: dict
"""

from ansible_collections.dualwrite.rollback.plugins.module_utils.drill.calendar import schedule


def drill_schedule(given):
    """Return the dates by what is given of day, hour, minute and year."""
    return schedule(**{key: value if key == "day" else int(value) for key, value in dict(given).items()})


class FilterModule:
    """The filter of this file."""

    def filters(self):
        """Return it by its name."""
        return {"drill_schedule": drill_schedule}
