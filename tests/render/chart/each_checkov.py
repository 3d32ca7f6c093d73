"""Runs in checkov's environment. Each file by itself, because a NetworkPolicy in one hides findings in another.

Prints, by file, how many checks passed and which failed, each as the kind of the object and the check.
"""

import json
import sys

from checkov.kubernetes.runner import Runner
from checkov.runner_filter import RunnerFilter

answers = {}
for file in sys.argv[1:]:
    report = Runner().run(root_folder=None, files=[file], runner_filter=RunnerFilter(framework=["kubernetes"]))
    failed = sorted({f"{check.resource.partition('.')[0]} {check.check_id}" for check in report.failed_checks})
    answers[file] = {"passed": len(report.passed_checks), "failed": failed}
json.dump(answers, sys.stdout)
