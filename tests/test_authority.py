import asyncio
from typing import Any

import pytest
from deciding import core_of
from running_api import Installation

from precedent.authority import Authority, authority_of
from precedent.errors import ActionNotFound, LedgerBroken, NodeNotFound, PolicyNotFound
from precedent.guard.flags import set_flag
from precedent.policy.change import activate, withdraw
from precedent.policy.compile import compile_policy
from precedent.policy.document import load_document
from precedent.policy.evaluate import Control
from precedent.policy.registry import publish
from precedent.settings import project_root

ACTION = "approve_discount"
FINANCE = (project_root() / "policies/finance/finance-constitution-1.0.0.yaml").read_text()
REFUNDS = FINANCE.replace("policy: finance-constitution", "policy: finance-refunds").replace("approve_discount:", "approve_refund:")


def row_of(text: str, status: str = "active", digest: str | None = None) -> list[str]:
    document = load_document(text, "policy.yaml")
    return [document.name, document.version, status, digest or document.digest_hex, text]


def test_the_only_action_need_not_be_named() -> None:
    authority = authority_of((1, [row_of(FINANCE)], []), None)
    policy, action = authority.policy_for("finance", None)
    assert (policy.document.ref, action) == ("finance-constitution@1.0.0", "approve_discount")


def test_of_several_actions_one_must_be_named_unless_one_is_the_default() -> None:
    authority = authority_of((1, [row_of(FINANCE), row_of(REFUNDS)], []), None)
    with pytest.raises(ActionNotFound, match=r"approve_discount, approve_refund"):
        authority.policy_for("finance", None)
    assert authority.policy_for("finance", "approve_refund")[0].document.name == "finance-refunds"
    with_default = REFUNDS.replace("actions:\n", "default_action: approve_refund\nactions:\n", 1)
    authority = authority_of((1, [row_of(FINANCE), row_of(with_default)], []), None)
    assert authority.policy_for("finance", None)[1] == "approve_refund"


@pytest.mark.parametrize("status", ["superseded", "withdrawn"])
def test_a_version_that_is_not_active_decides_nothing(status: str) -> None:
    authority = authority_of((1, [row_of(FINANCE, status)], []), None)
    with pytest.raises(NodeNotFound):
        authority.policy_for("finance", None)


def test_a_pin_reaches_what_was_active_and_not_withdrawn() -> None:
    rows = [
        row_of(FINANCE),
        row_of(FINANCE.replace("1.0.0", "0.9.0", 1), "superseded"),
        row_of(FINANCE.replace("1.0.0", "0.8.0", 1), "withdrawn"),
    ]
    authority = authority_of((1, rows, []), None)
    assert authority.pinned("finance-constitution@0.9.0", "finance").document.version == "0.9.0"
    assert authority.pinned("finance-constitution", "finance").document.version == "1.0.0"
    for ref, node in (
        ("finance-constitution@0.8.0", "finance"),
        ("finance-constitution@1.0.0", "credit"),
        ("nothing", "finance"),
        ("", "finance"),
    ):
        with pytest.raises(PolicyNotFound):
            authority.pinned(ref, node)


def test_nothing_is_enabled_or_granted_by_default() -> None:
    assert Authority(0).control("finance", "approve_discount") == Control(halted=False, enabled=False, max_level=0)
    flags: list[Any] = [["finance", "approve_discount", True, 2], ["*", "*", False, 3]]
    assert authority_of((1, [], flags), None).control("finance", "approve_discount") == Control(halted=True, enabled=True, max_level=2)


def test_what_was_compiled_is_kept_and_a_changed_text_is_not_trusted() -> None:
    before = authority_of((1, [row_of(FINANCE)], []), None)
    after = authority_of((2, [row_of(FINANCE, "superseded")], []), before)
    assert after.policies["finance-constitution@1.0.0"] is before.policies["finance-constitution@1.0.0"]
    with pytest.raises(LedgerBroken):
        authority_of((1, [row_of(FINANCE, digest="00" * 32)], []), None)
    assert (
        compile_policy(load_document(FINANCE, "f")).document.digest_hex == before.policies["finance-constitution@1.0.0"].document.digest_hex
    )


def test_a_change_is_heard_without_being_asked_for(installation: Installation) -> None:
    async def run() -> None:
        async with core_of(installation) as core:
            assert core.authority.loaded is None
            before = await core.authority.current()
            assert await core.authority.current() is before
            core.authority.start()
            try:
                set_flag(installation.database_url, installation.settings, "finance", "approve_discount", True, 1, "r", "tests")
                async with asyncio.timeout(10):
                    while core.authority.loaded is None or core.authority.loaded.epoch == before.epoch:
                        await asyncio.sleep(0.01)
            finally:
                await core.authority.stop()
            assert core.authority.loaded.control("finance", "approve_discount").max_level == 1

    asyncio.run(run())


def test_who_found_the_same_state_stale_shares_one_reload(installation: Installation) -> None:
    async def run() -> None:
        async with core_of(installation) as core:
            stale = await core.authority.current()
            set_flag(installation.database_url, installation.settings, "finance", "approve_discount", True, 1, "r", "tests")
            found = await asyncio.gather(*(core.authority.reload(stale=stale) for _ in range(8)))
            assert len({id(one) for one in found}) == 1
            assert found[0].epoch > stale.epoch

    asyncio.run(run())


def test_each_step_of_a_policy_is_another_epoch(installation: Installation) -> None:
    async def run() -> list[tuple[int, list[str], frozenset[str]]]:
        url, settings = installation.database_url, installation.settings
        text = FINANCE.replace("version: 1.0.0", "version: 1.0.1")
        steps: list[Any] = [
            lambda: publish(url, settings, text, "f", "tests"),
            lambda: activate(url, settings, "finance-constitution@1.0.1", "tests"),
            lambda: withdraw(url, settings, "finance-constitution@1.0.1", "tests"),
        ]
        async with core_of(installation) as core:
            states = [await core.authority.reload()]
            for step in steps:
                step()
                states.append(await core.authority.reload())
        return [
            (one.epoch, [one.active["finance"][name].document.version for name in one.active["finance"] if name == ACTION], one.stopped)
            for one in states
        ]

    states = asyncio.run(run())
    assert sorted({epoch for epoch, _, _ in states}) == [epoch for epoch, _, _ in states]
    assert [active for _, active, _ in states] == [["1.1.0"], ["1.1.0"], ["1.0.1"], []]
    assert states[-1][2] == {"finance-constitution@1.0.1"}
