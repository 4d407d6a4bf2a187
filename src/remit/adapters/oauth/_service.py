"""The token service: task tokens, delegation tokens and agents' proofs behind the two ports that the surfaces need."""

from remit.adapters.oauth._clients import AgentAuthentication
from remit.adapters.oauth._tokens import TaskTokens


class TokenService:
    """`Hands` for those who open tasks, `Exchange` for the token endpoint."""

    def __init__(self, tasks: TaskTokens, agents: AgentAuthentication) -> None:
        self.mint = tasks.mint
        self.delegate = tasks.delegate
        self.exchanged = tasks.exchanged
        self.handed_on = tasks.handed_on
        self.has_key = agents.has_key
        self.agent = agents.agent
