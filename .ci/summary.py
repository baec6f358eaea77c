"""Prints how the phases went, and what cargo test counted, for each binary and in all."""

import pathlib
import re
import sys

logs = pathlib.Path(sys.argv[1])
phases = [line.split("\t") for line in (logs / "phases").read_text().splitlines()]
print(f"{'phase':<12} {'':<8} {'seconds':>8}")
for name, verdict, seconds in phases:
    print(f"{name:<12} {verdict:<8} {seconds:>8}")
print(f"{'in all':<12} {'':<8} {sum(int(seconds) for _, _, seconds in phases):>8}\n")

RUNNING = re.compile(r"^ +Running (?:unittests )?(\S+) \(.*/(\S+?)-[0-9a-f]+\)")
RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;")
rows, name = [], "?"
for line in (logs / "test.log").read_text(errors="replace").splitlines():
    if running := RUNNING.match(line):
        name = f"{running[2]} ({running[1]})"
    elif line.startswith("   Doc-tests "):
        name = f"{line.split()[1]} (documentation)"
    elif result := RESULT.match(line):
        rows.append((name, [int(number) for number in result.groups()]))
checks = (logs / "checks.log").read_text(errors="replace").splitlines() if (logs / "checks.log").exists() else []
ok = [line for line in checks if line.startswith("ok ")]
bad = [line for line in checks if line.startswith("FAILED ")]
skipped = [line for line in checks if line.startswith("SKIPPED ")]
rows.append((".ci/checks.py", [len(ok), len(bad), len(skipped)]))

print(f"{'tests':<48} {'passed':>8} {'failed':>8} {'ignored':>8}")
for name, numbers in rows:
    if any(numbers):
        print(f"{name:<48}" + "".join(f" {number:>8}" for number in numbers))
passed, failures, ignored = (sum(numbers[at] for _, numbers in rows) for at in range(3))
print(f"{'in all':<48} {passed:>8} {failures:>8} {ignored:>8}\n")

broken = [name for name, verdict, _ in phases if verdict != "ok"]
if broken:
    print(f"failed: {', '.join(broken)}; the logs are in {logs}")
# A phase that failed counts, whether or not a test did.
failures = max(failures, len(broken))
print(f"{passed} passed, {failures} failed")
sys.exit(failures > 0 or passed == 0)
