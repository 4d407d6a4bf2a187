"""Check an exported log without trusting whoever exported it. Shares no code with the product.

Needs the standard library and `cryptography`, nothing else. What it proves, and what it cannot, is said in
docs/verify.md. `python -m remit_verifier EXPORT --key VKEY --checkpoints FILE` is the command; from a program:

    with open("export.jsonl", encoding="utf-8") as lines, open("checkpoints.txt", encoding="utf-8") as notes:
        report = verify(lines, "logs.example/refunds+3f1c…+AQ…", notes.read())
    print(report.proven, [problem.message for problem in report.problems])
"""

from remit_verifier._report import OpenCall, Problem, Report
from remit_verifier._verify import verify

__all__ = ["OpenCall", "Problem", "Report", "verify"]
