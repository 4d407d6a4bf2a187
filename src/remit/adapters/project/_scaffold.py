"""The first files of a new project: small, working, and written to be read and changed.

files = new_project("desk")
sorted(files)       # [".gitignore", ".remit/schemas/agent.json", ..., "agents/assistant/agent.yaml", ...]
"""

import json
from collections.abc import Mapping
from typing import get_args

from remit.adapters.project._emit import scalar
from remit.adapters.project._models import Kind, schema_for
from remit.core import InputRefusedError, is_name

AGENT = "assistant"
SCHEMA_LINE = "# yaml-language-server: $schema="

_IGNORED = """\
# State and keys stay on this machine. Checkpoints are worth keeping: they prove the log.
var/
"""

_SETTINGS = """\
{schema}.remit/schemas/settings.json
# Settings. None is required; every default is safe. `remit check` reads this file and says what is wrong with it.
name: {name}

# `development`: this machine only, and the people below instead of an identity provider.
profile: development
development:
  people:
    {owner}: {{roles: [operator, user]}}     # and roles of your own, such as finance, for policies to ask for

# What follows are the defaults.
# data: {{host: 127.0.0.1, port: 8700}}      # agents connect here; `tls: {{certificate: ..., key: ...}}` for https
# admin: {{host: 127.0.0.1, port: 8701}}     # people and the command line connect here
# store: {{path: var/remit.db}}
# records: {{checkpoint_file: checkpoints/log.checkpoints, checkpoint_every_s: 10}}
# tasks: {{life_s: 3600}}
# input: {{body_bytes_max: 1048576}}
# upstream: {{connections_max: 64}}
# catalogue: {{trust: var/trust.json, check_every_s: 10}}   # who may sign reviews; how often tools are compared
# holds: {{wait_s: 5}}                       # how long a held call waits for people before it answers
# tokens: {{dpop_nonce: false, proof_age_max_s: 60}}        # how agents prove their keys

# People of an identity provider, who are `corp:<subject>` here:
# issuers:
#   corp:
#     issuer: https://id.example.org         # to the letter as its tokens say it
#     claims: {{groups: groups, roles: {{user: [staff]}}}}    # whoever is in the group `staff` may use agents
"""

_AGENT_FILE = """\
{schema}../../.remit/schemas/agent.json
# The charter: the agent's job before its tools. An agent without one does not exist.
agent: assistant                  # the same as the folder's name
owner: {owner}                        # the person who answers for it
process: customer service         # the business process it supports
purpose: answer questions about orders
# reviewers: [operator]           # who looks at calls held because of where a value came from
# limits:                         # without them, careful defaults hold
#   writes: {{of: [write, execute, irreversible], per: user, in: day, max: 5}}
#   at_once: {{per: agent, max: 4}}

{identity}
# Each approved use closes the list of operations. A task names one use; whatever it does not list is denied.
use_cases:
  questions:
    description: look an order up and answer a question about it
    operations:
      - get_order
"""

_IDENTITY = """\
# Task tokens count for whoever bears them, so that a plain MCP client works at once. A stolen one works too, so make a
# key of the agent's own (`remit agents register {agent}`) and take this line out: then a token is bound to the key.
identity: {{bearer: true}}
"""

_CATALOGUE_FILE = """\
{schema}../.remit/schemas/catalogue.json
# A tool server and the operations of it that exist for agents. Nothing else of it can be called, and nothing before it
# is signed and in the agent's tools.lock: `remit check` says what is missing.
# Change the address to your own server's; `remit init --from mcp.json` writes such files from a client's configuration.
tool: orders
url: http://127.0.0.1:9000/mcp    # https, or http on this machine; never a password or key in here
timeout_s: 10                     # how long to wait for an answer
response_bytes_max: 1048576       # the longest answer taken

operations:
  get_order:
    version: "1"
    title: Get an order
    description: Return an order by its id. # the agent's model reads this text and no other
    effect: read                  # read, write, execute or irreversible: what it does to the world
    results: system_of_record     # or untrusted, as everything is that outsiders can write into; also by JSON pointer
    input_schema:
      type: object
      additionalProperties: false # what is not declared here never reaches the tool
      required: [order_id]
      properties:
        order_id:
          type: string
          pattern: "^[A-Za-z0-9-]{{1,40}}$"

  # A second operation. Remove the `#` signs, list it in a use case of agents/assistant/agent.yaml, and permit it in
  # agents/assistant/policies/first.cedar: without each of the three it stays denied.
  # refund_order:
  #   upstream_name: refundOrder    # the server's own name for it, where it differs
  #   version: "1"
  #   title: Refund an order
  #   description: Pay the money for an order back.
  #   effect: write
  #   content: [reason]             # may say anything; every other argument comes from the user or a system of record
  #   sources: {{order_id: [user, get_order/order_id]}}
  #   input_schema:
  #     type: object
  #     additionalProperties: false
  #     required: [order_id, amount_minor, reason]
  #     properties:
  #       order_id: {{type: string, maxLength: 40}}
  #       amount_minor: {{type: integer, minimum: 1}}     # cents: amounts are whole numbers
  #       reason: {{type: string, maxLength: 200}}
"""

_POLICY = """\
// What this agent may do, in Cedar (https://docs.cedarpolicy.com). What no policy permits is denied.
// principal: the user the agent acts for. action: the operation. resource: the tool server.
// context.arguments: the call's arguments, typed by the operation's input_schema; a misspelt one is found on load.

@id("look-up")
@description("orders may be looked up for every user")
permit (
  principal,
  action == Action::"get_order",
  resource
);

// A `forbid` always wins over a permit. With `@hold` it does not refuse the call, it waits for a person. For example,
// once `refund_order` is in the catalogue:
//
// @id("refunds")
// permit (principal, action == Action::"refund_order", resource);
//
// @id("large-refunds")
// @description("refunds over 100.00 wait for finance")
// @hold("approval") @approvers("finance") @quorum("1") @within("4h")
// forbid (principal, action == Action::"refund_order", resource)
// when { context.arguments.amount_minor > 10000 };
"""


def new_project(name: str, owner: str) -> Mapping[str, str]:
    """Return the files of a new project called `name`: relative path -> text. They pass `check_project`.

    `owner` answers for its agent and may log in, as operator and as user.

    Raises:
        InputRefusedError: `name_invalid`, `owner_invalid`.
    """
    return {
        **common_files(name, owner),
        f"agents/{AGENT}/agent.yaml": _AGENT_FILE.format(schema=SCHEMA_LINE, owner=owner, identity=identity_lines()),
        f"agents/{AGENT}/policies/first.cedar": _POLICY,
        "catalogue/orders.yaml": _CATALOGUE_FILE.format(schema=SCHEMA_LINE),
    }


def identity_lines() -> str:
    """Return what a new agent's file says of how it proves itself, with the way to something better."""
    return _IDENTITY.format(agent=AGENT)


def common_files(name: str, owner: str) -> dict[str, str]:
    """Return what every new project has: settings, editor schemas, and what version control leaves out.

    Raises:
        InputRefusedError: `name_invalid`, `owner_invalid`.
    """
    if not is_name(owner):
        fix = "give --owner NAME, the name that person will log in with: a-z, 0-9, `_`, `.`, `-`"
        raise InputRefusedError("owner_invalid", f"`{owner[:40]}` is not a person's name here", fix)
    if not is_name(name):
        fix = "use 1 to 64 of a-z, 0-9, `_`, `.`, `-`, beginning with a letter or digit"
        raise InputRefusedError("name_invalid", f"`{name[:40]}` is not a name for a project", fix)
    schemas = {
        f".remit/schemas/{kind}.json": json.dumps(schema_for(kind), indent=2, ensure_ascii=True) + "\n"
        for kind in get_args(Kind)
    }
    return {
        ".gitignore": _IGNORED,
        "remit.yaml": _SETTINGS.format(schema=SCHEMA_LINE, name=scalar(name), owner=scalar(owner)),
        **schemas,
    }
