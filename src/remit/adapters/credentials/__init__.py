"""What each tool knows our calls by, as its descriptor asks: minted for it, exchanged at its own server, or a secret.

Rules: no token of a client's comes near a tool. What an authorization server answers is read strictly, kept for a short
while and never longer than it is good; who asks for the same thing at once waits for one answer. Secrets are read where
they are kept, and no error, `repr` or record says one.

    post = form_post(Pool(PoolLimits()))
    credentials = ToolCredentials(tokens, post, Secrets(environ, root, clock), clock)
    await credentials.credential(tool, call, intent, now)    # Credential("authorization", ...)
    credentials.forget(Cut(agent="refunds"))                 # how many it dropped
"""

from remit.adapters.credentials._exchange import Post, form_post
from remit.adapters.credentials._secrets import Secrets
from remit.adapters.credentials._tool_credentials import ToolCredentials

__all__ = ["Post", "Secrets", "ToolCredentials", "form_post"]
