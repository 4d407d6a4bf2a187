"""The token service: task tokens, delegation tokens and agents' keys behind the two ports that the surfaces need."""

from remit.adapters.oauth._assertions import AgentKeys, ClientAssertions
from remit.adapters.oauth._tokens import TaskTokens


class TokenService:
    """`Hands` for those who open tasks, `Exchange` for the token endpoint."""

    def __init__(self, tasks: TaskTokens, keys: AgentKeys, assertions: ClientAssertions) -> None:
        self.mint = tasks.mint
        self.delegate = tasks.delegate
        self.exchanged = tasks.exchanged
        self.has_key = keys.has_key
        self.agent = assertions.agent
