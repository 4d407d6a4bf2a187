"""AuthZEN 1.0: whoever has a task's token asks what would be decided, and nothing is done.

The answer is of the same gates on the same facts as a call's. Nothing is counted, used up or sent, so a cap that is
full, or becomes so, is only met by the call itself. Every question leaves an entry `evaluated`.

endpoint = AuthzenEndpoint(facts=live, ledger=store, authenticator=tokens, clock=clock, random=random, url=data_url)
routes = endpoint.routes()
"""

from remit.surfaces.authzen._endpoint import EVALUATION_PATH, EVALUATIONS_PATH, METADATA_PATH, AuthzenEndpoint
from remit.surfaces.authzen._read import EVALUATIONS_MAX

__all__ = ["EVALUATIONS_MAX", "EVALUATIONS_PATH", "EVALUATION_PATH", "METADATA_PATH", "AuthzenEndpoint"]
